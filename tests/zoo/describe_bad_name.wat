;; Calls its function and its argument `F;` and ``.
(data (i32.const 300) "F;")
(data (i32.const 320) "\2c\01\00\00\02\00\00\00\20\00\00\00\01\00\00\00\02\00\00\00")
(data (i32.const 32) "\11\00\00\00\00\00\00\00")
(data (i32.const 360) "\40\01\00\00\01\00\00\00")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32) (i32.const 360))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
