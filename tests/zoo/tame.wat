;; Gives its argument back: proof that the others fail for what they do.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(export "cabi_post_weir:feature/scalar-functions@0.1.0#call" (func $release))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32) (param $args i32) (param i32 i32) (result i32)
  (call $echo (local.get $args)))
