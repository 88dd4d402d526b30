;; `g(x bigint) -> bigint`: how many rows there are, and 1000 more where there is any. Its state is their number in eight
;; bytes; it traps on any other.
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

;; The number in the state whose (at, length) pair is at `pair`.
(func $number (param $pair i32) (result i64)
  (if (i32.eqz (i32.load offset=4 (local.get $pair))) (then (return (i64.const 0))))
  (if (i32.ne (i32.load offset=4 (local.get $pair)) (i32.const 8)) (then (unreachable)))
  (i64.load (i32.load (local.get $pair))))

;; Puts a number into the state whose pair is at `pair`.
(func $put (param $pair i32) (param $number i64)
  (local $at i32)
  (local.set $at (call $allocate (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 8)))
  (i64.store (local.get $at) (local.get $number))
  (i32.store (local.get $pair) (local.get $at))
  (i32.store offset=4 (local.get $pair) (i32.const 8)))

;; The pair of the group of the part or row `at`.
(func $of_group (param $pairs i32) (param $groups i32) (param $at i32) (result i32)
  (i32.add
    (local.get $pairs)
    (i32.shl (i32.load (i32.add (local.get $groups) (i32.shl (local.get $at) (i32.const 2)))) (i32.const 3))))

(func (export "weir:feature/aggregate-functions@0.1.0#update")
  (param $name i32) (param $name_length i32) (param $params i32) (param $params_length i32)
  (param $states i32) (param $states_length i32) (param $groups i32) (param $rows i32)
  (param $times i32) (param $times_length i32) (param $args i32) (param $args_length i32)
  (result i32)
  (local $row i32) (local $pair i32)
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
      (local.set $pair (call $of_group (local.get $states) (local.get $groups) (local.get $row)))
      (call $put (local.get $pair) (i64.add (call $number (local.get $pair)) (i64.const 1)))
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
      (local.set $pair (call $of_group (local.get $merged) (local.get $groups) (local.get $part)))
      (call $put
        (local.get $pair)
        (i64.add
          (call $number (local.get $pair))
          (call $number (i32.add (local.get $states) (i32.shl (local.get $part) (i32.const 3))))))
      (local.set $part (i32.add (local.get $part) (i32.const 1)))
      (br $next)))
  (call $states (local.get $merged) (local.get $group_count)))

(func (export "weir:feature/aggregate-functions@0.1.0#finish")
  (param $name i32) (param $name_length i32) (param $params i32) (param $params_length i32)
  (param $states i32) (param $states_length i32) (param $times i32) (param $times_length i32)
  (result i32)
  (local $state i32) (local $number i64) (local $values i32)
  (local.set $values
    (call $allocate
      (i32.const 0) (i32.const 0) (i32.const 8) (i32.shl (local.get $states_length) (i32.const 3))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $state) (local.get $states_length)))
      (local.set $number (call $number (i32.add (local.get $states) (i32.shl (local.get $state) (i32.const 3)))))
      (if (i64.ne (local.get $number) (i64.const 0))
        (then (local.set $number (i64.add (local.get $number) (i64.const 1000)))))
      (i64.store
        (i32.add (local.get $values) (i32.shl (local.get $state) (i32.const 3)))
        (local.get $number))
      (local.set $state (i32.add (local.get $state) (i32.const 1)))
      (br $next)))
  (call $column (i32.const 1) (local.get $values) (local.get $states_length)))
