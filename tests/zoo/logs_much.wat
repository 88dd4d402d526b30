;; Logs 1 MB again and again, which costs the host more than the guest.
(import "weir:feature/platform@0.1.0" "log" (func $log (param i32 i32 i32)))
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (if (i32.eqz (local.get $rows)) (then (return (call $echo (local.get $args)))))
  (drop (memory.grow (i32.const 20)))
  (loop $ever
    (call $log (i32.const 1) (i32.const 131072) (i32.const 1048576))
    (br $ever))
  (unreachable))
