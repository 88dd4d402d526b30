"""An aggregate: one value from many rows, folded in event-time order."""

from typing import Optional

import weir


@weir.aggregate(name="{{NAME}}")
class {{TYPE}}:
    """How much a number rose from its first row to its last."""

    def __init__(self) -> None:
        # What is kept of a stretch of time.
        self.first: Optional[float] = None
        self.last: Optional[float] = None

    def update(self, time: int, value: float) -> None:
        if self.first is None:
            self.first = value
        self.last = value

    def merge(self, later: "{{TYPE}}") -> None:
        if self.first is None:
            self.first = later.first
        if later.last is not None:
            self.last = later.last

    def finish(self, as_of: int) -> Optional[float]:
        if self.first is None or self.last is None:
            return None
        return self.last - self.first
