"""What vehicle trackers send, a device's number and a sentence of NMEA 0183: as `plugins/tracker`, to be compared with it."""

from dataclasses import dataclass
from datetime import datetime, timezone
from functools import reduce
from operator import xor
from typing import Optional

import weir


@dataclass
class Position:
    device: str
    at: weir.Timestamp
    lat: float
    lon: float
    knots: Optional[float]


@weir.decode
def position(payload: bytes) -> Position:
    """``DEVICE $GPRMC,HHMMSS,A,DDMM.MM,N,DDDMM.MM,E,KNOTS,COURSE,DDMMYY,..*CHECKSUM``"""
    device, _, sentence = payload.partition(b" $")
    content, _, checksum = sentence.partition(b"*")
    due = reduce(xor, content, 0)
    if not checksum or int(checksum, 16) != due:
        raise ValueError(f"has the checksum {checksum.decode()}, and {due:02X} is due")
    kind, time, status, lat, north, lon, east, knots, _, date, *_ = content.decode().split(",")
    if not kind.endswith("RMC") or status != "A":
        raise ValueError(f"is a sentence {kind} of status {status}, and only RMC of status A has positions")
    return Position(
        device.decode(),
        moment(date, time),
        degrees(lat, 2, north == "S"),
        degrees(lon, 3, east == "W"),
        float(knots) if knots else None,
    )


def degrees(text: str, digits: int, negative: bool) -> float:
    """Degrees and minutes, as ``4916.45``, whose degrees have so many digits."""
    whole, minutes = int(text[:digits]), float(text[digits:])
    found = whole + minutes / 60
    if not 0 <= minutes < 60 or found > (90 if digits == 2 else 180):
        raise ValueError(f"{text} is no place on Earth")
    return -found if negative else found


def moment(date: str, time: str) -> weir.Timestamp:
    """Milliseconds of a date of this century ``DDMMYY`` and a time ``HHMMSS`` or ``HHMMSS.sss``."""
    day, month, year = (int(date[at : at + 2]) for at in (0, 2, 4))
    at = datetime(2000 + year, month, day, int(time[:2]), int(time[2:4]), tzinfo=timezone.utc)
    return weir.Timestamp(int(at.timestamp()) * 1000 + round(float(time[4:]) * 1000))
