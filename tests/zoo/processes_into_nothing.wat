;; Describes rows without a column.
(data (i32.const 188) "\00\00\00\00")
(func $events)
(func $timers)
