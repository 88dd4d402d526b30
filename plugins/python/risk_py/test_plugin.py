import struct
from dataclasses import astuple
from math import inf, isnan, nan

from plugin import risk_py


def told(*of) -> tuple:
    return astuple(risk_py(*of))


def test_bands_begin_where_they_are_said_to() -> None:
    assert told(20.0, 20.0, 100) == (0.0, "low", 1.0)
    assert told(-5.0, 20.0, 100) == (0.0, "low", -0.25)
    assert told(40.0, 20.0, 100) == (0.25, "medium", 2.0)
    assert told(80.0, 20.0, 100) == (0.5, "high", 4.0)


def test_a_new_rider_is_compared_with_everybody() -> None:
    assert told(80.0, None, None) == told(80.0, None, 3) == told(80.0, 0.0, 3) == (0.5, "high", None)
    assert told(80.0, 40.0, 0) == (0.5, "high", 2.0)


def test_what_is_known_of_a_rider_counts_the_more_the_more_rides_there_are() -> None:
    few, many = risk_py(80.0, 40.0, 1).score, risk_py(80.0, 40.0, 1000).score
    assert 0.5 > few > many > 0.24


def test_what_is_beyond_every_number_is_high() -> None:
    assert told(inf, 1.0, 1) == (1.0, "high", inf)
    unknown = risk_py(nan, 1.0, 1)
    assert isnan(unknown.score) and unknown.band == "high" and isnan(unknown.times_usual)


def test_the_bits_are_those_of_every_language() -> None:
    # The samples in other languages have the same test, with the same number in it.
    folded = 0
    for n in range(2000):
        mean_fare = n % 17 * 1.7 if n % 13 else None
        rides = (n % 11 << n % 55) + n if n % 7 else None
        found = risk_py(n * 0.37, mean_fare, rides)
        for value in (found.score, float(len(found.band)), -1.0 if found.times_usual is None else found.times_usual):
            (bits,) = struct.unpack("<Q", struct.pack("<d", value))
            folded = (folded * 31 + bits) % 2**64
    assert folded == 13_387_914_542_432_622_362
