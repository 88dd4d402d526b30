;; Gives its argument back, and traps where that is below zero: so that one job's rows are bad and another's are not.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(export "cabi_post_weir:feature/scalar-functions@0.1.0#call" (func $release))
(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param i32 i32) (param $args i32) (param i32) (param $rows i32) (result i32)
  (local $row i32)
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
      (if (f64.lt
            (f64.load
              (i32.add (i32.load offset=4 (local.get $args)) (i32.shl (local.get $row) (i32.const 3))))
            (f64.const 0))
        (then (unreachable)))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br $next)))
  (call $echo (local.get $args)))
