from plugin import Unusual, {{NAME}}


def test_twice_as_much_is_unusual_and_nothing_is_told_of_a_new_rider() -> None:
    assert {{NAME}}(10.0, 8.0) == Unusual(1.25, "low")
    assert {{NAME}}(16.0, 8.0) == Unusual(2.0, "high")
    assert {{NAME}}(16.0, None) is None
