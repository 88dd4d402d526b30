;; What keyed logic here has in common beside the prelude: `p(x double) -> (y double)` makes a row of each event, `x`, and
;; leaves states and timers as they are. Before an answer is given, `$events` or `$timers` of the guest spoils it.
;;
;; The answer: at 1024 that it is one; then pairs of place and length, at 1028 of states (8 bytes each: place and length), at
;; 1036 of timers (16: whether it is set, and from 8 on when), at 1044 of what was taken (4), at 1052 of what made rows (4),
;; at 1060 of columns (28: kind, place and length, and whatever nulls and lists need).
(data (i32.const 144) "py")
(data (i32.const 148) "\91\00\00\00\01\00\00\00\02\00\00\00")
(data (i32.const 160) "\90\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\20\00\00\00\01\00\00\00\94\00\00\00\01\00\00\00")
(data (i32.const 200) "\a0\00\00\00\01\00\00\00")
(data (i32.const 208) "\02\00\00\00\08\00\00\00")
(func (export "weir:feature/processor@0.1.0#describe") (result i32) (i32.const 200))

;; What a call is given.
(global $keys (mut i32) (i32.const 0))
(global $counts (mut i32) (i32.const 0))
(global $times (mut i32) (i32.const 0))
(global $values (mut i32) (i32.const 0))
(global $given (mut i32) (i32.const 0))

;; Room for `length` bytes, all nought.
(func $room (param $length i32) (result i32)
  (local $at i32)
  (local.set $at (call $allocate (i32.const 0) (i32.const 0) (i32.const 8) (local.get $length)))
  (memory.fill (local.get $at) (i32.const 0) (local.get $length))
  (local.get $at))

;; A pair of the answer.
(func $pair (param $at i32) (param $place i32) (param $length i32)
  (i32.store (local.get $at) (local.get $place))
  (i32.store offset=4 (local.get $at) (local.get $length)))

;; An answer of so many rows of nought, all made by the first event or timer.
(func $rows (param $count i32)
  (local $column i32)
  (call $pair (i32.const 1052) (call $room (i32.shl (local.get $count) (i32.const 2))) (local.get $count))
  (local.set $column (call $room (i32.const 28)))
  (i32.store (local.get $column) (i32.const 2))
  (call $pair (i32.add (local.get $column) (i32.const 4))
    (call $room (i32.shl (local.get $count) (i32.const 3))) (local.get $count))
  (call $pair (i32.const 1060) (local.get $column) (i32.const 1)))

;; An answer that sets the timer of the first key.
(func $set_timer (param $time i64)
  (i32.store8 (i32.load (i32.const 1036)) (i32.const 1))
  (i64.store offset=8 (i32.load (i32.const 1036)) (local.get $time)))

(func (export "weir:feature/processor@0.1.0#on-events")
  (param i32 i32 i32 i32) (param $states i32) (param $keys i32) (param $timers i32) (param i32) (param $counts i32)
  (param i32) (param $times i32) (param $given i32) (param $args i32) (param i32) (result i32)
  (local $event i32) (local $made_by i32)
  (global.set $keys (local.get $keys))
  (global.set $counts (local.get $counts))
  (global.set $times (local.get $times))
  (global.set $given (local.get $given))
  (global.set $values (i32.load offset=4 (local.get $args)))
  (i32.store (i32.const 1024) (i32.const 0))
  (call $pair (i32.const 1028) (local.get $states) (local.get $keys))
  (call $pair (i32.const 1036) (local.get $timers) (local.get $keys))
  (call $pair (i32.const 1044) (local.get $counts) (local.get $keys))
  (local.set $made_by (call $room (i32.shl (local.get $given) (i32.const 2))))
  (block $done
    (loop $next
      (br_if $done (i32.eq (local.get $event) (local.get $given)))
      (i32.store (i32.add (local.get $made_by) (i32.shl (local.get $event) (i32.const 2))) (local.get $event))
      (local.set $event (i32.add (local.get $event) (i32.const 1)))
      (br $next)))
  (call $pair (i32.const 1052) (local.get $made_by) (local.get $given))
  (call $pair (i32.const 1060) (local.get $args) (i32.const 1))
  (if (local.get $keys) (then (call $events)))
  (i32.const 1024))
(export "cabi_post_weir:feature/processor@0.1.0#on-events" (func $release))

(func (export "weir:feature/processor@0.1.0#on-timer")
  (param i32 i32 i32 i32) (param $states i32) (param $keys i32) (param $times i32) (param i32) (result i32)
  (global.set $keys (local.get $keys))
  (global.set $times (local.get $times))
  (i32.store (i32.const 1024) (i32.const 0))
  (call $pair (i32.const 1028) (local.get $states) (local.get $keys))
  (call $pair (i32.const 1036) (call $room (i32.shl (local.get $keys) (i32.const 4))) (local.get $keys))
  (call $pair (i32.const 1044) (call $room (i32.shl (local.get $keys) (i32.const 2))) (local.get $keys))
  (call $pair (i32.const 1052) (i32.const 8) (i32.const 0))
  (call $pair (i32.const 1060) (i32.const 208) (i32.const 1))
  (if (local.get $keys) (then (call $timers)))
  (i32.const 1024))
(export "cabi_post_weir:feature/processor@0.1.0#on-timer" (func $release))
