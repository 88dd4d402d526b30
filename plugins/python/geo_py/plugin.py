"""Scalars over places on Earth, whole columns at a time."""

from math import asin, cos, radians, sin, sqrt

from weir import Column, scalar

# The Earth's mean radius, as the International Union of Geodesy and Geophysics has it.
EARTH_RADIUS_KM = 6371.0088


@scalar(columnar=True)
def haversine_km_py(
    lat1: Column[float], lon1: Column[float], lat2: Column[float], lon2: Column[float]
) -> Column[float]:
    """The great-circle distance between two positions in degrees, in kilometres."""
    return list(map(great_circle_km, lat1, lon1, lat2, lon2))


@scalar
def great_circle_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The same for one row at a time."""
    chord = (
        sin(radians(lat2 - lat1) / 2) ** 2
        + cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lon2 - lon1) / 2) ** 2
    )
    # Rounding can carry the chord of antipodes just past 1, where the arc sine ends.
    return 2 * EARTH_RADIUS_KM * asin(min(sqrt(chord), 1.0))
