import pytest
from plugin import degrees, position

SENTENCE = b"bus7 $GPRMC,225446,A,4916.45,N,12311.12,W,000.5,054.7,191126,020.3,E*61"


def test_a_position_is_read() -> None:
    found = position(SENTENCE)
    assert (found.device, found.at, found.knots) == ("bus7", 1_795_128_886_000, 0.5)
    assert (found.lat, found.lon) == pytest.approx((49.274_166, -123.185_333))


def test_what_is_no_position_says_why() -> None:
    with pytest.raises(ValueError, match="has the checksum 62, and 61 is due"):
        position(SENTENCE.replace(b"*61", b"*62"))
    with pytest.raises(ValueError, match="has the checksum"):
        position(b"bus7")
    with pytest.raises(ValueError, match="no place"):
        degrees("9000.01", 2, False)
