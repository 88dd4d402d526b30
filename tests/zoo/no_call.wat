;; Describes functions that nobody can call.
(component
  (core module $module (func (export "f") (result i32) (i32.const 0)))
  (core instance $instance (instantiate $module))
  (func $f (result u32) (canon lift (core func $instance "f")))
  (instance $functions (export "describe" (func $f)))
  (export "weir:feature/scalar-functions@0.1.0" (instance $functions)))
