import pytest
from plugin import Ride, {{NAME}}


def test_a_payload_is_a_ride_and_others_are_refused() -> None:
    assert {{NAME}}(b"u1 1700000000000 12.5") == Ride("u1", 1700000000000, 12.5)
    assert {{NAME}}(b"u1 1700000000000").fare is None
    with pytest.raises(ValueError):
        {{NAME}}(b"u1 yesterday")
