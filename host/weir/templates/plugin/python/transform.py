"""A transform: several columns, computed when a job is asked, of what it has stored and of what the request says."""

from dataclasses import dataclass
from typing import Optional

import weir


@dataclass
class Unusual:
    times: float
    band: str


@weir.transform
def {{NAME}}(amount: float, mean_fare: Optional[float]) -> Optional[Unusual]:
    """How many times what a rider usually pays an amount is; nothing of a rider of whom nothing is known."""
    if mean_fare is None or mean_fare <= 0:
        return None
    times = amount / mean_fare
    return Unusual(times, "low" if times < 2 else "high")
