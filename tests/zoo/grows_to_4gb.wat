;; Asks for 4 GB, and traps when it does not get them.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (if (i32.eqz (local.get $rows)) (then (return (call $echo (local.get $args)))))
  (if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then (unreachable)))
  (call $echo (local.get $args)))
