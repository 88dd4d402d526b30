;; Wants a function that is in no interface at all.
(component (import "system" (func (param "command" string))))
