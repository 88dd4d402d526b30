;; Makes a row more of a timer than it may.
(func $events)
(func $timers (call $rows (i32.const 1001)))
