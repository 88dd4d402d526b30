from plugin import PAUSE_MS, OneVisit, {{TYPE}}

import weir


def test_a_visit_ends_with_the_pause_behind_its_last_ride() -> None:
    rides = [(0, {"fare": 2.5}), (PAUSE_MS, {"fare": 4.0}), (2 * PAUSE_MS + 1, {"fare": 1.0})]
    rows = weir.play({{TYPE}}, rides, until=3 * PAUSE_MS)
    assert rows == [(2 * PAUSE_MS, OneVisit(0, 2, 6.5))]
