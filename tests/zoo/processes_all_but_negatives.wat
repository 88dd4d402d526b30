;; Traps on whatever call has an event whose value is below zero.
(func $events
  (local $event i32)
  (block $done
    (loop $next
      (br_if $done (i32.eq (local.get $event) (global.get $given)))
      (if (f64.lt
            (f64.load (i32.add (global.get $values) (i32.shl (local.get $event) (i32.const 3))))
            (f64.const 0))
        (then (unreachable)))
      (local.set $event (i32.add (local.get $event) (i32.const 1)))
      (br $next))))
(func $timers)
