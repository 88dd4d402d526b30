;; Takes all memory before anybody has called it.
(start $start)
(func $start (loop $ever
  (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then (unreachable)))
  (br $ever)))
(export "weir:feature/scalar-functions@0.1.0#describe" (func $describe_f))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
