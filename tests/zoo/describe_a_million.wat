;; Describes a hundred million functions, all at the same place.
(data (i32.const 360) "\00\00\00\00\00\e1\f5\05")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32) (i32.const 360))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
