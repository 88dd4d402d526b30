;; Refuses every row, in words.
(func $describe (result i32) (i32.const 208))
(data (i32.const 300) "not today")
(func $rows (param i32 i32) (result i32) (call $refuse (i32.const 300) (i32.const 9)))
