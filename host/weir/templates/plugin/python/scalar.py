"""Scalar functions: one value from the arguments of each row."""

from typing import Optional

import weir


@weir.scalar
def {{NAME}}(fare: float, tip: Optional[float]) -> Optional[float]:
    """The share of a fare that is tip, in percent."""
    if fare <= 0:
        return None
    return (tip or 0.0) / fare * 100
