from math import isclose

from plugin import Trip


def along(positions: list) -> Trip:
    trip = Trip()
    for time, (lat, lon) in enumerate(positions):
        trip.update(time, lat, lon)
    return trip


def test_a_cut_anywhere_changes_the_last_bits_at_most() -> None:
    way = [(52.5, 13.4), (52.6, 13.3), (52.7, 13.5), (52.5, 13.4)]
    for cut in range(len(way) + 1):
        trip = along(way[:cut])
        trip.merge(along(way[cut:]))
        assert isclose(trip.finish(0), along(way).finish(0))
