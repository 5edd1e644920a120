"""Posting to web addresses that tenants chose, so that none of them leads into our own network.

An address is judged where its socket is made, by the very numbers that it is about to connect to:
whatever a name meant when somebody looked before, what counts is what it means to this connection.
Nothing is followed (redirects), nobody asked in between (proxies), nothing kept (cookies), and of
the answer only its status is read.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.typedefs import LooseHeaders

from paceline import __version__
from paceline.domain.web_address import fault_of, is_public
from paceline.providers.answers import read_retry_after

TIMEOUT_S = 10.0
"""For everything, from the look-up of the name to the answer's status."""
KEEP_ALIVE_S = 4.0
"""Servers commonly close an idle connection after 5 s; a request that crosses that is lost."""
NOT_PUBLIC = "the address is not a public one"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; ``error`` says why there is no status. It repeats nothing of what
    the network said: the tenant reads it.
    """

    status: int | None
    error: str = ""
    retry_after_ms: int | None = None


class Poster:
    """Posts, and keeps the connections to those who answer.

    Args:
        allow_private: post to any address, over plain HTTP too. For development.
        resolver: looks up names; None: the system's.
        timeout_s: for one request.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolver: AbstractResolver | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.allow_private = allow_private
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Make one request; whatever goes wrong is an answer without a status."""
        if fault := fault_of(url, allow_private=self.allow_private):
            return Answer(None, f"the URL {fault}")
        try:
            async with self._open_session().post(
                url, data=body, headers=_headers(headers), allow_redirects=False
            ) as response:
                return Answer(response.status, "", read_retry_after(response.headers))
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorCertificateError:
            return Answer(None, "its certificate cannot be trusted")
        except aiohttp.ClientConnectorError as error:
            refused = NOT_PUBLIC in str(error.os_error)  # of several addresses: of one at least
            return Answer(None, NOT_PUBLIC if refused else "no connection")
        except (aiohttp.ClientError, OSError, ValueError):
            return Answer(None, "no answer that is HTTP")

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here because it belongs to the running loop
            connector = aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,
                resolver=self._resolver,
                keepalive_timeout=KEEP_ALIVE_S,
                socket_factory=self._socket_to,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket_to(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """The socket for one address.

        Raises:
            OSError: we do not go there.
        """
        family, kind, protocol, _, where = address
        if not (self.allow_private or is_public(str(where[0]))):
            raise OSError(NOT_PUBLIC)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def _headers(given: Mapping[str, str]) -> LooseHeaders:
    return {
        "Content-Type": "application/json",
        "User-Agent": f"paceline/{__version__}",
        **given,
    }
