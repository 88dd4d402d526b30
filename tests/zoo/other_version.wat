;; Exports an interface of a version that does not exist yet.
(component (instance $none) (export "weir:feature/scalar-functions@0.2.0" (instance $none)))
