;; `f(x double) -> double` is x + 1, but for some x, which show how a guest can go wrong.
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(export "cabi_post_weir:feature/scalar-functions@0.1.0#call" (func $release))
(global $calls (mut i32) (i32.const 0))
(data (i32.const 128) "no such\0aplace")

(func (export "weir:feature/scalar-functions@0.1.0#call")
  (param $name i32) (param $name_length i32) (param $args i32) (param $args_length i32) (param $rows i32)
  (result i32)
  (local $row i32) (local $burnt i32) (local $x f64) (local $at i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
      (local.set $at
        (i32.add (i32.load offset=4 (local.get $args)) (i32.shl (local.get $row) (i32.const 3))))
      (local.set $x (f64.load (local.get $at)))
      ;; -1: traps
      (if (f64.eq (local.get $x) (f64.const -1)) (then (unreachable)))
      ;; -2: loops for ever
      (if (f64.eq (local.get $x) (f64.const -2)) (then (loop $ever (br $ever))))
      ;; -3: answers with an error
      (if (f64.eq (local.get $x) (f64.const -3))
        (then (return (call $refuse (i32.const 128) (i32.const 13)))))
      ;; -4: asks for 4 GB, and traps when it does not get them
      (if (f64.eq (local.get $x) (f64.const -4))
        (then (if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then (unreachable)))))
      ;; -5: how many calls this instance has seen, as a guest must not do
      (if (f64.eq (local.get $x) (f64.const -5))
        (then (local.set $x (f64.convert_i32_u (global.get $calls)))))
      ;; -6: traps unless it is the instance's first call
      (if (f64.eq (local.get $x) (f64.const -6))
        (then (if (i32.ne (global.get $calls) (i32.const 1)) (then (unreachable)))))
      ;; -7: costs a hundred thousand instructions, so that few fit into one call
      (if (f64.eq (local.get $x) (f64.const -7))
        (then
          (local.set $burnt (i32.const 20000))
          (loop $burn (br_if $burn (local.tee $burnt (i32.sub (local.get $burnt) (i32.const 1)))))))
      (f64.store (local.get $at) (f64.add (local.get $x) (f64.const 1)))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br $next)))
  (call $echo (local.get $args)))
