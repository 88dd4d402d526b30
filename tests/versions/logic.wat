;; Keyed logic, `p(x double) -> (y double)`: the number of each event among those of its key, and OFFSET more. What is
;; remembered of a key is `$held` of a state, and `$hold` puts it there.
(func $events
  (local $key i32) (local $pair i32) (local $left i32) (local $held i64) (local $value i32)
  (local.set $value (global.get $values))
  (block $done
    (loop $next_key
      (br_if $done (i32.eq (local.get $key) (global.get $keys)))
      (local.set $pair (i32.add (i32.load (i32.const 1028)) (i32.shl (local.get $key) (i32.const 3))))
      (local.set $held (call $held (local.get $pair)))
      (local.set $left (i32.load (i32.add (global.get $counts) (i32.shl (local.get $key) (i32.const 2)))))
      (block $taken
        (loop $next_event
          (br_if $taken (i32.eqz (local.get $left)))
          (local.set $held (i64.add (local.get $held) (i64.const 1)))
          (f64.store (local.get $value) (f64.convert_i64_u (i64.add (local.get $held) (i64.const OFFSET))))
          (local.set $value (i32.add (local.get $value) (i32.const 8)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $next_event)))
      (call $hold (local.get $pair) (local.get $held))
      (local.set $key (i32.add (local.get $key) (i32.const 1)))
      (br $next_key))))
(func $timers)
