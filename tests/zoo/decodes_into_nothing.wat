;; Describes no column.
(func (export "weir:feature/decoder@0.1.0#describe") (result i32) (i32.const 2048))
(func (export "weir:feature/decoder@0.1.0#decode") (param i32 i32 i32 i32) (result i32) (unreachable))
