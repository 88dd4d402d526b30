;; Describes a column `rowtime`.
(data (i32.const 240) "rowtime")
(data (i32.const 148) "\f0\00\00\00\07\00\00\00\02\00\00\00")
(func $events)
(func $timers)
