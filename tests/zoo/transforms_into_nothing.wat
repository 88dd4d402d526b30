;; Describes rows without a column.
;; The info without a result.
(data (i32.const 240) "\10\00\00\00\01\00\00\00\20\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
(data (i32.const 280) "\f0\00\00\00\01\00\00\00")
(func $describe (result i32) (i32.const 280))
(func $rows (param i32 i32) (result i32) (unreachable))
