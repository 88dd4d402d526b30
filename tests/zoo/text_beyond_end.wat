;; Answers with a text that ends behind the memory.
(data (i32.const 64) "\03")
(data (i32.const 520) "\10\02\00\00\ff\ff\ff\7f")
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (call $column (i32.const 3) (i32.const 520) (local.get $rows)))
