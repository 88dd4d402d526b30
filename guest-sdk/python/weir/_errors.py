"""What can go wrong, with the server's own words. Knows problem documents; must not know routes."""

from __future__ import annotations

import json
from typing import List, Mapping, Optional, Type


class WeirWarning(UserWarning):
    """What the server could not use of a spine or of a job's history."""


class WeirError(Exception):
    """A request that was not done. Its text is what the server says of it, and what to do."""

    def __init__(
        self,
        message: str,
        status: Optional[int] = None,
        errors: Optional[List[str]] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__("\n  ".join([message, *(errors or [])]))
        #: The HTTP status, where a server answered.
        self.status = status
        #: Every single reason, where there are several.
        self.errors = errors or []
        #: After how many seconds it is worth to ask again, where the server says that.
        self.retry_after = retry_after


class BadRequest(WeirError):
    """The request cannot be used, is too large, or is refused."""


class Unauthorized(WeirError):
    """The token is missing or wrong, or the request comes from elsewhere."""


class NotFound(WeirError):
    """There is no such job, feature, stream or training set."""


class Conflict(WeirError):
    """The thing does not take this request now."""


class Unavailable(WeirError):
    """Not now: see :attr:`WeirError.retry_after`."""


class TrainingFailed(WeirError):
    """The training set could not be made, for the reason that ``weir train`` says."""


class Unreachable(WeirError):
    """No server answers at that address."""


_BY_STATUS: Mapping[int, Type[WeirError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    503: Unavailable,
}


def of_answer(status: int, body: bytes, retry_after: Optional[str]) -> WeirError:
    """The error that an answer of this status is."""
    detail, errors = body.decode("utf-8", "replace").strip(), []
    try:
        problem = json.loads(body)
        detail = str(problem.get("detail") or problem.get("title") or detail)
        errors = [str(each.get("detail", each)) for each in problem.get("errors", [])]
    except (ValueError, AttributeError):
        # Whoever stands between answers in its own way.
        pass
    kind = _BY_STATUS.get(status, BadRequest if 400 <= status < 500 else WeirError)
    seconds = float(retry_after) if retry_after and retry_after.strip().isdigit() else None
    return kind(f"{status}: {detail}", status, errors, seconds)
