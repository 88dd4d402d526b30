;; A fine component, but as text.
(component)
