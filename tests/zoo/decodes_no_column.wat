;; Describes a column and gives none.
(data (i32.const 96) "\20\00\00\00\01\00\00\00")
(func (export "weir:feature/decoder@0.1.0#describe") (result i32) (i32.const 96))
(func (export "weir:feature/decoder@0.1.0#decode") (param i32 i32 i32 i32) (result i32) (i32.const 1100))
