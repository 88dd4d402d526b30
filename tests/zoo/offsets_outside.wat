;; Answers with a list that ends behind all values.
;; It says that it gives lists.
(data (i32.const 65) "\01")
;; An answer: `count` doubles at `at`, delimited by the numbers at `offsets`.
(func $lists (param $at i32) (param $count i32) (param $offsets i32) (param $ends i32) (result i32)
  (drop (call $column (i32.const 2) (local.get $at) (local.get $count)))
  (i32.store (i32.const 1048) (local.get $offsets))
  (i32.store (i32.const 1052) (local.get $ends))
  (i32.const 1024))
(data (i32.const 520) "\00\00\00\00\07\00\00\00")
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (if (i32.eqz (local.get $rows)) (then (return (call $lists (i32.const 0) (i32.const 0) (i32.const 512) (i32.const 1)))))
  (call $lists (i32.const 600) (i32.const 2) (i32.const 520) (i32.add (local.get $rows) (i32.const 1))))
