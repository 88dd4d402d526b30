;; Gives room at an odd address.
;; The description as the prelude has it.
(memory (export "memory") 1)
(data (i32.const 16) "fx")
(data (i32.const 32) "\11\00\00\00\01\00\00\00\02\00\00\00")
(data (i32.const 48) "\10\00\00\00\01\00\00\00\20\00\00\00\01\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00")
(data (i32.const 80) "\30\00\00\00\01\00\00\00")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32) (i32.const 80))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 5001))
