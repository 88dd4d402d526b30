;; Describes a function of 65 arguments.
(data (i32.const 56) "\00\10\00\00\41\00\00\00")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32)
  (local $at i32)
  (loop $more
    (memory.copy (i32.add (i32.const 4096) (i32.mul (local.get $at) (i32.const 12))) (i32.const 32) (i32.const 12))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $at) (i32.const 65))))
  (i32.const 80))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
