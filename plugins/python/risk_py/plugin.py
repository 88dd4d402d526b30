"""How unusual the amount of a ride is for its rider: computed when it is asked, of the amount in the request and of what a job has
stored of the rider. As `plugins/risk`, to be compared with it: every step is taken in its order, so that the bits are the same."""

from dataclasses import dataclass
from typing import Optional

import weir

# What a ride costs where nothing is known of its rider.
USUAL_FARE = 20.0
# The usual fare counts as much as so many rides of the rider's own.
USUAL_RIDES = 5.0
# A ride of so many times what is expected beyond that itself has half of the highest score.
HALF = 3.0
MEDIUM = 0.25
HIGH = 0.5


@dataclass
class Risk:
    """What is told of an amount."""

    # From 0, no more than is expected, to almost 1.
    score: float
    band: str
    # The amount in mean fares of the rider.
    times_usual: Optional[float]


@weir.transform
def risk_py(amount: float, mean_fare: Optional[float], rides: Optional[int]) -> Risk:
    """How unusual an amount is for a rider of so many rides with this mean fare, neither of which a new rider has: a score
    from 0 to 1 and its band, low, medium or high."""
    known = mean_fare if mean_fare is not None and mean_fare > 0 else None
    if known is not None and rides is not None and rides > 0:
        expected = (float(rides) * known + USUAL_RIDES * USUAL_FARE) / (float(rides) + USUAL_RIDES)
    else:
        expected = USUAL_FARE
    times = amount / expected
    # What is not a number stays so, and its band is high.
    beyond = 0.0 if times <= 1.0 else times - 1.0
    score = 1.0 - HALF / (beyond + HALF)
    band = "low" if score < MEDIUM else "medium" if score < HIGH else "high"
    return Risk(score, band, None if known is None else amount / known)
