;; A core module that was never made a component.
