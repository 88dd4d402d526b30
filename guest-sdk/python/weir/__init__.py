"""Training sets, lookups and events of a weir server; and plugins for it, in :mod:`weir.plugin`.

>>> import weir
>>> client = weir.Client("http://127.0.0.1:8080")
>>> frame = client.train(labels, ["user_day"])          # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Union

from .plugin import Column, Forbidden, Timestamp, Undeclared, aggregate, decode, log, play, process, scalar, transform

if TYPE_CHECKING:
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
    "Column",
    "Conflict",
    "Feature",
    "Forbidden",
    "Job",
    "NotFound",
    "Progress",
    "Pushed",
    "Timestamp",
    "TrainingFailed",
    "Unauthorized",
    "Unavailable",
    "Undeclared",
    "Unreachable",
    "WeirError",
    "WeirWarning",
    "aggregate",
    "decode",
    "log",
    "play",
    "process",
    "scalar",
    "train",
    "transform",
]

__version__ = "0.1.0"

# The client is imported when it is asked for: inside a plugin there is no network for it to import.
_CLIENT = {
    "_client": ("Client", "Feature", "Job", "Pushed"),
    "_errors": (
        "BadRequest",
        "Conflict",
        "NotFound",
        "TrainingFailed",
        "Unauthorized",
        "Unavailable",
        "Unreachable",
        "WeirError",
        "WeirWarning",
    ),
    "_train": ("Progress",),
}


def __getattr__(name: str) -> Any:
    for module, names in _CLIENT.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def train(server: Union[str, Client], spine: Any, features: Any, **options: Any) -> Any:
    """A training set of this server: its address, or a :class:`Client`. See :meth:`Client.train`."""
    from ._client import Client

    client = server if isinstance(server, Client) else Client(server)
    return client.train(spine, features, **options)
