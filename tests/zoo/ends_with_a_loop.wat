;; Never ends emptying its heap.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "cabi_post_weir:feature/scalar-functions@0.1.0#call") (param i32) (loop $ever (br $ever)))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (call $echo (local.get $args)))
