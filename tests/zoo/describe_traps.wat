;; Traps when asked for its functions.
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32) (unreachable))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
