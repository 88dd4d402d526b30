;; Describes three hundred functions, each of them whole.
(data (i32.const 360) "\00\10\00\00\2c\01\00\00")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32)
  (local $at i32)
  (loop $more
    (memory.copy (i32.add (i32.const 4096) (i32.mul (local.get $at) (i32.const 28))) (i32.const 48) (i32.const 28))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $at) (i32.const 300))))
  (i32.const 360))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
