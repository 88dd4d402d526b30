;; A timer sets itself again.
(func $events)
(func $timers (call $set_timer (i64.load (global.get $times))))
