;; Wants the clock and randomness of its host.
(component
  (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
  (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))))
