;; Never ends a call that fires timers.
(func $events)
(func $timers (loop $again (br $again)))
