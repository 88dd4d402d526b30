"""Training sets, lookups and events of a weir server.

>>> import weir
>>> client = weir.Client("http://127.0.0.1:8080")
>>> frame = client.train(labels, ["user_day"])          # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any, Union

from ._client import Client, Feature, Job, Pushed
from ._errors import (
    BadRequest,
    Conflict,
    NotFound,
    TrainingFailed,
    Unauthorized,
    Unavailable,
    Unreachable,
    WeirError,
    WeirWarning,
)
from ._train import Progress

__all__ = [
    "BadRequest",
    "Client",
    "Conflict",
    "Feature",
    "Job",
    "NotFound",
    "Progress",
    "Pushed",
    "TrainingFailed",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "WeirError",
    "WeirWarning",
    "train",
]

__version__ = "0.1.0"


def train(server: Union[str, Client], spine: Any, features: Any, **options: Any) -> Any:
    """A training set of this server: its address, or a :class:`Client`. See :meth:`Client.train`."""
    client = server if isinstance(server, Client) else Client(server)
    return client.train(spine, features, **options)
