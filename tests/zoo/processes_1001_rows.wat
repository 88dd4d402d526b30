;; Makes a row more of an event than it may.
(func $events (call $rows (i32.const 1001)))
(func $timers)
