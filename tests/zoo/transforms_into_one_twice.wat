;; Describes one column twice.
;; The info with one result twice.
(data (i32.const 220) "\8c\00\00\00\01\00\00\00\02\00\00\00\8c\00\00\00\01\00\00\00\02\00\00\00")
(data (i32.const 248) "\10\00\00\00\01\00\00\00\20\00\00\00\01\00\00\00\dc\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00")
(data (i32.const 288) "\f8\00\00\00\01\00\00\00")
(func $describe (result i32) (i32.const 288))
(func $rows (param i32 i32) (result i32) (unreachable))
