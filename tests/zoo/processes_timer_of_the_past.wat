;; Sets a timer that is before the event.
(func $events (call $set_timer (i64.sub (i64.load (global.get $times)) (i64.const 1))))
(func $timers)
