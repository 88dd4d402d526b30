"""A format: a row out of the payload of each message."""

from dataclasses import dataclass
from typing import Optional

import weir


@dataclass
class Ride:
    user_id: str
    at: weir.Timestamp
    fare: Optional[float]


@weir.decode
def {{NAME}}(payload: bytes) -> Ride:
    """USER MILLISECONDS [FARE]"""
    user_id, at, *fare = payload.decode().split()
    return Ride(user_id, weir.Timestamp(int(at)), float(fare[0]) if fare else None)
