;; What every guest here has in common; the text of a guest follows it within one module.
;;
;; Memory: 0 .. 1024 constants, 1024 .. 2048 answers, from 4096 on a heap that is emptied after each call.
(memory (export "memory") 1)
(global $heap (mut i32) (i32.const 4096))

;; Takes room from the heap; traps when memory ends.
(func $allocate (export "cabi_realloc")
  (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get $size)))
  (block $enough
    (loop $more
      (br_if $enough
        (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
      (br $more)))
  (local.get $at))

;; Empties the heap: what each call ends with.
(func $release (param i32) (global.set $heap (i32.const 4096)))

;; The description of one function, `f(x double) -> double`: list at 80, info at 48, field at 32, names at 16.
(data (i32.const 16) "fx")
(data (i32.const 32) "\11\00\00\00\01\00\00\00\02\00\00\00")
(data (i32.const 48) "\10\00\00\00\01\00\00\00\20\00\00\00\01\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00")
(data (i32.const 80) "\30\00\00\00\01\00\00\00")
(func $describe_f (result i32) (i32.const 80))

;; An answer: the error whose text has `length` bytes at `at`.
(func $refuse (param $at i32) (param $length i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 1))
  (i32.store (i32.const 1028) (local.get $at))
  (i32.store (i32.const 1032) (local.get $length))
  (i32.const 1024))

;; An answer: a flat column without nulls of `rows` values at `at`, of the representation `kind` (2: float64s).
(func $column (param $kind i32) (param $at i32) (param $rows i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 1028) (local.get $kind))
  (i32.store (i32.const 1032) (local.get $at))
  (i32.store (i32.const 1036) (local.get $rows))
  (i64.store (i32.const 1040) (i64.const 0))
  (i64.store (i32.const 1048) (i64.const 0))
  (i32.const 1024))

;; An answer: the first argument as it came.
(func $echo (param $args i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 0))
  (memory.copy (i32.const 1028) (local.get $args) (i32.const 28))
  (i32.const 1024))
