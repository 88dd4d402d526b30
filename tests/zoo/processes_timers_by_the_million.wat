;; A value below zero sets the timer of the first key of a call, and each timer another one, a millisecond later.
(func $events
  (if (f64.lt (f64.load (global.get $values)) (f64.const 0))
    (then (call $set_timer (i64.load (global.get $times))))))
(func $timers (call $set_timer (i64.add (i64.load (global.get $times)) (i64.const 1))))
