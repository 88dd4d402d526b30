;; Has columns where no memory is.
(func $describe (result i32) (i32.const 208))
(func $rows (param i32) (param i32) (result i32)
  (drop (call $columns (i32.const 1)))
  (i32.store (i32.const 1104) (i32.const -28))
  (i32.const 1100))
