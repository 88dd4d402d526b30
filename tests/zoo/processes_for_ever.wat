;; Never ends a call with events.
(func $events (loop $again (br $again)))
(func $timers)
