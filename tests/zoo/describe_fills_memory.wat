;; Describes a function whose name takes more than the host lets in.
(data (i32.const 48) "\00\10\00\00\00\00\80\02")
(func (export "weir:feature/scalar-functions@0.1.0#describe") (result i32)
  (drop (memory.grow (i32.const 700)))
  (memory.fill (i32.const 4096) (i32.const 102) (i32.const 10))
  (i32.const 80))
(func (export "weir:feature/scalar-functions@0.1.0#call") (param i32 i32 i32 i32 i32) (result i32) (unreachable))
