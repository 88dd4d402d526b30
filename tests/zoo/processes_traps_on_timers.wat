;; Traps when a timer fires.
(func $events)
(func $timers (unreachable))
