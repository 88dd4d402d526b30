;; Has no function.
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32) (i32.const 400))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
