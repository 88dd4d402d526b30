;; Describes its function in two thousand characters.
(data (i32.const 68) "\00\10\00\00\d0\07\00\00")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32)
  (memory.fill (i32.const 4096) (i32.const 120) (i32.const 2000))
  (i32.const 80))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
