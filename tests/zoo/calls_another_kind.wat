;; Calls a function as if it were of another type.
(table $table funcref (elem $other))
(func $other (param i64))
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (if (i32.eqz (local.get $rows)) (then (return (call $echo (local.get $args)))))
  (call_indirect $table (result i32) (i32.const 0)))
