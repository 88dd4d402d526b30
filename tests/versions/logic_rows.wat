;; A byte for each event.
(func $held (param $pair i32) (result i64)
  (i64.extend_i32_u (i32.load offset=4 (local.get $pair))))
(func $hold (param $pair i32) (param $held i64)
  (call $pair (local.get $pair) (call $room (i32.wrap_i64 (local.get $held))) (i32.wrap_i64 (local.get $held))))
