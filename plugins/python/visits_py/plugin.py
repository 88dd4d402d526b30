"""Logic of one key's events: a rider's visits, each told when it is over. As `plugins/visits`, to be compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

import weir

# What is told of a visit has so many cities, the first ones.
MOST_CITIES = 16
MINUTE_MS = 60_000


@dataclass
class Visit:
    started: weir.Timestamp
    rides: int
    cities: list[str]


@weir.process(name="visits_py")
class Visits:
    """Visits: events with no pause of so many minutes between them. Each is a row when it is over, with its cities in the
    order in which they came."""

    timer: Optional[int] = None

    def __init__(self, pause_minutes: int) -> None:
        self.pause_minutes = pause_minutes
        self.forget()

    def forget(self) -> None:
        self.started: Optional[weir.Timestamp] = None
        self.rides = 0
        self.cities: list[str] = []

    def on_event(self, at: weir.Timestamp, city: Optional[str]) -> None:
        if self.started is None:
            self.started = at
        self.rides += 1
        if city is not None and city not in self.cities and len(self.cities) < MOST_CITIES:
            self.cities.append(city)
        self.timer = at + self.pause_minutes * MINUTE_MS

    def on_timer(self, at: weir.Timestamp) -> Iterator[Visit]:
        if self.started is not None:
            yield Visit(self.started, self.rides, self.cities)
        self.forget()
