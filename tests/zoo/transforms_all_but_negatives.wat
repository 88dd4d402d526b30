;; Gives its argument back, and traps where that is below zero.
(func $describe (result i32) (i32.const 208))
(func $rows (param $args i32) (param $rows i32) (result i32)
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
  (drop (call $echo (local.get $args)))
  (call $columns (i32.const 1)))
