;; Describes one function two times.
(data (i32.const 360) "\00\10\00\00\02\00\00\00")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32)
  (memory.copy (i32.const 4096) (i32.const 48) (i32.const 28))
  (memory.copy (i32.const 4124) (i32.const 48) (i32.const 28))
  (i32.const 360))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
