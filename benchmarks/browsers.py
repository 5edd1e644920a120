"""People who look at the dashboard: signed in over HTTP, with a cookie, as quick as a browser."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Self
from urllib.parse import urlencode, urlsplit

from benchmarks.addresses import Address
from benchmarks.furnishing import PASSWORD
from benchmarks.installation import WrongRunError

_COOKIE = "paceline_session"
_FIRST = 65_536


@dataclass(frozen=True, slots=True)
class Looked:
    status: int
    seconds: float
    size: int


class Person:
    """Somebody who is signed in, with one connection."""

    def __init__(self, url: str, login: str) -> None:
        self.login = login
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self.cookie = self._sign_in()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def look(self, address: Address) -> Looked:
        """Read an address: of what has no end soon, streams and files, what comes first."""
        headers = {"Accept": "text/html", "Cookie": self.cookie}
        if address.part:
            headers["HX-Request"] = "true"
        began = time.perf_counter()
        self._connection.request("GET", address.path, headers=headers)
        answer = self._connection.getresponse()
        kind = answer.headers.get("Content-Type", "")
        if kind.startswith("text/html") or answer.length is not None:
            content = answer.read()
        else:
            content = answer.read1(_FIRST)
            self._connection.close()  # it opens again by itself
        return Looked(answer.status, time.perf_counter() - began, len(content))

    def _sign_in(self) -> str:
        form = urlencode({"login": self.login, "password": PASSWORD})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/sign-in", form, kind)
        answer = self._connection.getresponse()
        answer.read()
        cookies = SimpleCookie(answer.headers.get("Set-Cookie", ""))
        if _COOKIE not in cookies or not re.fullmatch(r"[\w-]+", cookies[_COOKIE].value):
            raise WrongRunError(f"{self.login} cannot sign in: {answer.status}")
        return f"{_COOKIE}={cookies[_COOKIE].value}"
