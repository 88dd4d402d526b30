;; Traps on whatever payload it gets.
(data (i32.const 96) "\20\00\00\00\01\00\00\00")
(func (export "weir:feature/decoder@0.1.0#describe") (result i32) (i32.const 96))
(func (export "weir:feature/decoder@0.1.0#decode") (param $at i32) (param $payloads i32) (param i32 i32) (result i32)
  (if (local.get $payloads) (then (unreachable)))
  (drop (call $column (i32.const 2) (i32.const 128) (i32.const 0)))
  (i32.store (i32.const 1104) (i32.const 1028))
  (i32.store (i32.const 1108) (i32.const 1))
  (i32.const 1100))
