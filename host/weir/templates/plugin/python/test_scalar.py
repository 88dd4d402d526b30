from plugin import {{NAME}}


def test_no_tip_is_nothing_and_no_fare_has_no_share() -> None:
    assert {{NAME}}(10.0, 2.0) == 20.0
    assert {{NAME}}(10.0, None) == 0.0
    assert {{NAME}}(0.0, None) is None
