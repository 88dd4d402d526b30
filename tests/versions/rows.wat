;; `g(x bigint) -> bigint`: how many rows there are. Its state is a byte for each of them.
(export "cabi_post_weir:feature/aggregate-functions@0.1.0#update" (func $release))
(export "cabi_post_weir:feature/aggregate-functions@0.1.0#merge" (func $release))
(export "cabi_post_weir:feature/aggregate-functions@0.1.0#finish" (func $release))
;; aggregate-info at 160: name "g", no parameters, one argument, result bigint, ordered.
(data (i32.const 144) "gx")
(data (i32.const 148) "\91\00\00\00\01\00\00\00\01\00\00\00")
(data (i32.const 160) "\90\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\94\00\00\00\01\00\00\00")
(data (i32.const 184) "\01\00\01\00\00\00\00\00\00\00\00\00")
(data (i32.const 200) "\a0\00\00\00\01\00\00\00")
(func (export "weir:feature/aggregate-functions@0.1.0#describe") (result i32) (i32.const 200))

;; An answer: `count` states of (at, length) pairs at `at`.
(func $states (param $at i32) (param $count i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 1028) (local.get $at))
  (i32.store (i32.const 1032) (local.get $count))
  (i32.const 1024))

;; Appends `length` bytes at `from` to the state whose (at, length) pair is at `pair`.
(func $append (param $pair i32) (param $from i32) (param $length i32)
  (local $at i32) (local $held i32)
  (local.set $held (i32.load offset=4 (local.get $pair)))
  (local.set $at
    (call $allocate (i32.const 0) (i32.const 0) (i32.const 1) (i32.add (local.get $held) (local.get $length))))
  (memory.copy (local.get $at) (i32.load (local.get $pair)) (local.get $held))
  (memory.copy (i32.add (local.get $at) (local.get $held)) (local.get $from) (local.get $length))
  (i32.store (local.get $pair) (local.get $at))
  (i32.store offset=4 (local.get $pair) (i32.add (local.get $held) (local.get $length))))

(func (export "weir:feature/aggregate-functions@0.1.0#update")
  (param $name i32) (param $name_length i32) (param $params i32) (param $params_length i32)
  (param $states i32) (param $states_length i32) (param $groups i32) (param $rows i32)
  (param $times i32) (param $times_length i32) (param $args i32) (param $args_length i32)
  (result i32)
  (local $row i32)
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
      (call $append
        (i32.add
          (local.get $states)
          (i32.shl
            (i32.load (i32.add (local.get $groups) (i32.shl (local.get $row) (i32.const 2))))
            (i32.const 3)))
        (i32.add (i32.load offset=4 (local.get $args)) (i32.shl (local.get $row) (i32.const 3)))
        (i32.const 1))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br $next)))
  (call $states (local.get $states) (local.get $states_length)))

(func (export "weir:feature/aggregate-functions@0.1.0#merge")
  (param $name i32) (param $name_length i32) (param $params i32) (param $params_length i32)
  (param $states i32) (param $states_length i32) (param $groups i32) (param $groups_length i32)
  (param $group_count i32)
  (result i32)
  (local $part i32) (local $pair i32) (local $merged i32)
  (local.set $merged
    (call $allocate (i32.const 0) (i32.const 0) (i32.const 8) (i32.shl (local.get $group_count) (i32.const 3))))
  (memory.fill (local.get $merged) (i32.const 0) (i32.shl (local.get $group_count) (i32.const 3)))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $part) (local.get $states_length)))
      (local.set $pair (i32.add (local.get $states) (i32.shl (local.get $part) (i32.const 3))))
      (call $append
        (i32.add
          (local.get $merged)
          (i32.shl
            (i32.load (i32.add (local.get $groups) (i32.shl (local.get $part) (i32.const 2))))
            (i32.const 3)))
        (i32.load (local.get $pair))
        (i32.load offset=4 (local.get $pair)))
      (local.set $part (i32.add (local.get $part) (i32.const 1)))
      (br $next)))
  (call $states (local.get $merged) (local.get $group_count)))

(func (export "weir:feature/aggregate-functions@0.1.0#finish")
  (param $name i32) (param $name_length i32) (param $params i32) (param $params_length i32)
  (param $states i32) (param $states_length i32) (param $times i32) (param $times_length i32)
  (result i32)
  (local $state i32) (local $pair i32) (local $values i32)
  (local.set $values
    (call $allocate
      (i32.const 0) (i32.const 0) (i32.const 8) (i32.shl (local.get $states_length) (i32.const 3))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $state) (local.get $states_length)))
      (local.set $pair (i32.add (local.get $states) (i32.shl (local.get $state) (i32.const 3))))
      (i64.store
        (i32.add (local.get $values) (i32.shl (local.get $state) (i32.const 3)))
        (i64.extend_i32_u (i32.load offset=4 (local.get $pair))))
      (local.set $state (i32.add (local.get $state) (i32.const 1)))
      (br $next)))
  (call $column (i32.const 1) (local.get $values) (local.get $states_length)))
