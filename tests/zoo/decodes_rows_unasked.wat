;; Gives a column of five rows, however many payloads there are.
(data (i32.const 96) "\20\00\00\00\01\00\00\00")
(func (export "weir:feature/decoder@0.1.0#describe") (result i32) (i32.const 96))
(func (export "weir:feature/decoder@0.1.0#decode") (param i32 i32 i32 i32) (result i32)
  (drop (call $column (i32.const 2) (i32.const 128) (i32.const 5)))
  (i32.store (i32.const 1104) (i32.const 1028))
  (i32.store (i32.const 1108) (i32.const 1))
  (i32.const 1100))
