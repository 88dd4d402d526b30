;; Starts with 4 GB of memory.
(component
  (core module $module (memory 65536))
  (core instance (instantiate $module)))
