"""Logic of one key's events: what it remembers, and when it is called again, are its own."""

from dataclasses import dataclass
from typing import Iterator, Optional

import weir

# A visit is over when no ride came for so long.
PAUSE_MS = 30 * 60_000


@dataclass
class OneVisit:
    started: weir.Timestamp
    rides: int
    fares: float


@weir.process(name="{{NAME}}")
class {{TYPE}}:
    """Rides with no pause of half an hour between them."""

    # When on_timer is called, in milliseconds.
    timer: Optional[int] = None

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        # What is remembered of a key; one of which nothing is remembered takes no room.
        self.started: Optional[weir.Timestamp] = None
        self.rides = 0
        self.fares = 0.0

    def on_event(self, at: weir.Timestamp, fare: float) -> None:
        if self.started is None:
            self.started = at
        self.rides += 1
        self.fares += fare
        self.timer = at + PAUSE_MS

    def on_timer(self, at: weir.Timestamp) -> Iterator[OneVisit]:
        if self.started is not None:
            yield OneVisit(self.started, self.rides, self.fares)
        self.forget()
