"""Requests to one server. Knows addresses, the token and JSON; must not know what any route means."""

from __future__ import annotations

import json
import os
from http.client import HTTPException
from typing import IO, Any, Dict, Iterable, Mapping, Optional, Union
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from ._errors import Unreachable, WeirError, of_answer

Body = Union[bytes, IO[bytes], Iterable[bytes]]


class _NoRedirects(HTTPRedirectHandler):
    """The token is for this server alone, and a server never sends anybody elsewhere."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


class Http:
    """A server's address and what it lets us in with."""

    def __init__(self, url: str, token: Optional[str], timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is not the address of a server; write http://ADDRESS:PORT")
        self.url = url.rstrip("/")
        self._token = token if token is not None else os.environ.get("WEIR_TOKEN")
        self._timeout = timeout
        # A proxy for the web has no business with a server that is mostly near.
        self._opener = build_opener(ProxyHandler({}), _NoRedirects())

    def open(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        body: Optional[Body] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Any:
        """The open answer; one that is an error is raised."""
        target = self.url + path + (f"?{urlencode(query)}" if query else "")
        every: Dict[str, str] = {"Accept": "application/json", **(headers or {})}
        if self._token:
            every["Authorization"] = f"Bearer {self._token}"
        # The type that urllib gives to bodies by itself means something else.
        if body is not None:
            every.setdefault("Content-Type", "application/json")
        request = Request(target, data=body, headers=every, method=method)
        try:
            return self._opener.open(request, timeout=self._timeout)
        except HTTPError as error:
            with error:
                raise of_answer(error.code, error.read(), error.headers.get("Retry-After")) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, (BrokenPipeError, ConnectionResetError)):
                raise Unreachable(
                    f"{self.url} closed the connection: {reason}; it may have been stopped, or refuse the token or the size of "
                    "what is sent"
                ) from error
            raise Unreachable(f"no answer from {self.url}: {reason}; is `weir serve` running there?") from error

    def json(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        body: Optional[Body] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Any:
        """The answer, read as JSON."""
        with self.open(method, path, query, body, headers) as answer:
            text = answer.read()
        try:
            return json.loads(text)
        except ValueError:
            raise WeirError(f"{self.url}{path} does not answer in JSON; is it a weir server?") from None
