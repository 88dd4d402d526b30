from math import isclose, pi

from plugin import EARTH_RADIUS_KM, great_circle_km, haversine_km_py


def test_a_degree_of_the_equator_is_a_part_of_it() -> None:
    assert isclose(great_circle_km(0.0, 0.0, 0.0, 1.0), EARTH_RADIUS_KM * pi / 180)


def test_antipodes_are_half_a_turn_apart() -> None:
    distances = haversine_km_py([0.0, 12.3], [0.0, 45.6], [0.0, -12.3], [180.0, 225.6])
    assert all(isclose(distance, EARTH_RADIUS_KM * pi) for distance in distances)
