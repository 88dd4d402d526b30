from plugin import MINUTE_MS, MOST_CITIES, Visit, Visits

import weir


def visits(pause_minutes: int, *rides: tuple) -> list:
    events = [(minute * MINUTE_MS, {"city": city}) for minute, city in rides]
    rows = weir.play(Visits, events, until=1000 * MINUTE_MS, parameters=[pause_minutes])
    return [(at // MINUTE_MS, row.started // MINUTE_MS, row.rides, row.cities) for at, row in rows]


def test_a_visit_ends_with_the_pause_behind_its_last_ride() -> None:
    rides = [(0, "berlin"), (29, "paris"), (59, "berlin"), (60, None), (91, "rome")]
    assert visits(30, *rides) == [(90, 0, 4, ["berlin", "paris"]), (121, 91, 1, ["rome"])]
    assert visits(31, *rides) == [(122, 0, 5, ["berlin", "paris", "rome"])]


def test_rides_of_one_time_are_one_visit_whatever_the_pause() -> None:
    for pause in (0, -5):
        assert visits(pause, (3, None), (3, None), (4, None)) == [(3, 3, 2, []), (4, 4, 1, [])]


def test_the_first_cities_are_told() -> None:
    names = [f"city{n}" for n in range(20)]
    ((_, _, rides, cities),) = visits(5, *enumerate(names))
    assert (rides, cities) == (20, names[:MOST_CITIES])


def test_methods_are_called_as_such() -> None:
    one = Visits(30)
    one.on_event(weir.Timestamp(5), "berlin")
    assert one.timer == 5 + 30 * MINUTE_MS
    assert list(one.on_timer(weir.Timestamp(one.timer))) == [Visit(weir.Timestamp(5), 1, ["berlin"])]
