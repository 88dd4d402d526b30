;; What `count` makes of the states of `rows`: how many bytes these have.
(export "cabi_post_weir:feature/aggregate-migration@0.1.0#migrate" (func $release))
(func (export "weir:feature/aggregate-migration@0.1.0#migrate")
  (param $name i32) (param $name_length i32) (param $params i32) (param $params_length i32)
  (param $version i32) (param $hash i32) (param $hash_length i32)
  (param $states i32) (param $states_length i32)
  (result i32)
  (local $state i32) (local $pair i32)
  (if (i32.ne (local.get $version) (i32.const 1)) (then (unreachable)))
  (if (i32.ne (local.get $hash_length) (i32.const 64)) (then (unreachable)))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $state) (local.get $states_length)))
      (local.set $pair (i32.add (local.get $states) (i32.shl (local.get $state) (i32.const 3))))
      (call $put (local.get $pair) (i64.extend_i32_u (i32.load offset=4 (local.get $pair))))
      (local.set $state (i32.add (local.get $state) (i32.const 1)))
      (br $next)))
  (call $states (local.get $states) (local.get $states_length)))
