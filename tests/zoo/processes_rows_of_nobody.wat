;; Makes its first row of an event that there is not.
(func $events (i32.store (i32.load (i32.const 1052)) (i32.const -1)))
(func $timers)
