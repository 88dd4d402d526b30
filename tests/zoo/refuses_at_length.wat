;; Refuses with a text of ten megabytes.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (if (i32.eqz (local.get $rows)) (then (return (call $echo (local.get $args)))))
  (drop (memory.grow (i32.const 200)))
  (memory.fill (i32.const 8192) (i32.const 120) (i32.const 10000000))
  (call $refuse (i32.const 8192) (i32.const 10000000)))
