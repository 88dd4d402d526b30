;; Gives three values for no rows.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (call $column (i32.const 2) (i32.const 512) (i32.const 3)))
