"""An aggregate over positions: how far somebody travelled."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Optional

import weir

# The Earth's mean radius, as the International Union of Geodesy and Geophysics has it.
EARTH_RADIUS_KM = 6371.0088


@weir.aggregate(name="trip_py")
class Trip:
    """The distance travelled along successive positions in degrees, in event-time order, in kilometres."""

    def __init__(self) -> None:
        self.first: Optional[tuple[float, float]] = None
        self.last: Optional[tuple[float, float]] = None
        self.distance_km = 0.0

    def update(self, time: int, lat: float, lon: float) -> None:
        here = (lat, lon)
        if self.last is None:
            self.first = here
        else:
            self.distance_km += great_circle_km(self.last, here)
        self.last = here

    def merge(self, later: Trip) -> None:
        if later.first is None:
            return
        if self.last is None:
            self.first = later.first
        else:
            self.distance_km += great_circle_km(self.last, later.first)
        self.distance_km += later.distance_km
        self.last = later.last

    def finish(self, as_of: int) -> Optional[float]:
        return None if self.first is None else self.distance_km


def great_circle_km(start: tuple[float, float], end: tuple[float, float]) -> float:
    """By the haversine formula."""
    (lat1, lon1), (lat2, lon2) = start, end
    chord = (
        sin(radians(lat2 - lat1) / 2) ** 2
        + cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lon2 - lon1) / 2) ** 2
    )
    # Rounding can carry the chord just past 1, where the arc sine ends.
    return 2 * EARTH_RADIUS_KM * asin(min(sqrt(chord), 1.0))
