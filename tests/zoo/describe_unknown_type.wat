;; Describes a result of a type that there is not.
(data (i32.const 64) "\09")
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
