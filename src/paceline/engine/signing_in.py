"""Signing in to the dashboard with a login and a password."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import deque
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.storage import users
from paceline.storage.database import AnyRow, Database

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
_LOGIN = re.compile(r"[^\s\x00-\x1f\x7f]{1,100}")
_TRIES = 5
_WITHIN_S = 60.0
_REMEMBERED = 10_000
"""Logins and addresses whose failed tries are counted; beyond that the oldest are forgotten."""
_ONE_HOUSEHOLD = 64
"""Bits of an IPv6 address that everybody shares who has that network; the rest they choose."""
_HASHER = PasswordHasher()  # argon2id, with what RFC 9106 recommends where memory is scarce
_NOBODYS = _HASHER.hash("the password of no user")
"""Checked where there is no such user, so that an answer takes as long as where there is one."""


class WrongPasswordError(PacelineError):
    """Login and password do not belong together."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("Login and password do not belong together.")


class TooManyTriesError(PacelineError):
    """Somebody guesses: nothing is tried for ``retry_after_s``."""

    code = "too_many_tries"
    retryable = True

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many failed tries. Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


def refuse_login(login: str) -> None:
    """Make sure that somebody can sign in under this name.

    Raises:
        InvalidInputError: nobody could.
    """
    if not _LOGIN.fullmatch(login):
        raise InvalidInputError.of("login", "must have 1 to 100 characters and no spaces")


def refuse_password(password: str) -> None:
    """Make sure that this can be a password.

    Raises:
        InvalidInputError: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        wanted = f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        raise InvalidInputError.of("password", wanted)


def hashed(password: str) -> str:
    """A password as it is kept.

    Raises:
        InvalidInputError: it is too short or too long.
    """
    refuse_password(password)
    return _HASHER.hash(password)


class SigningIn:
    """Checks passwords for one process; hashing takes 64 MiB, so they go one by one.

    Args:
        database: where users are.
        monotonic: for the limit of failed tries, which is per login and per address.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._tries = _Tries(monotonic)
        self._one_by_one = asyncio.Lock()

    async def with_password(self, login: str, password: str, *, address: str) -> str:
        """Open a session; return its secret.

        Raises:
            WrongPasswordError: they do not belong together, or the user is disabled.
            TooManyTriesError: there were too many of those.
        """
        user = await self.proven(login, password, address=address)
        secret = await self._database.write(users.sign_in, user.id, user.password)
        if secret is None:  # disabled, or another password, while this one was checked
            raise WrongPasswordError
        return secret

    async def proven(self, login: str, password: str, *, address: str) -> AnyRow:
        """The user whose login and password these are.

        Raises:
            WrongPasswordError, TooManyTriesError: as ``with_password``.
        """
        keys = (login if _LOGIN.fullmatch(login) else "", f"from {_network(address)}")
        # It counts from its beginning, so that guesses that are made at once count each other.
        self._tries.begin(keys)
        user = await self._database.read(users.by_login, keys[0])
        kept = _NOBODYS if user is None else user.password
        async with self._one_by_one:
            right = await asyncio.to_thread(_matches, kept, password[: LONGEST_PASSWORD + 1])
        if user is None or not right:
            raise WrongPasswordError
        self._tries.forgive(keys)
        return user


class _Tries:
    """How often somebody has failed lately, by login and by address."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures: dict[str, deque[float]] = {}

    def begin(self, keys: tuple[str, str]) -> None:
        """Count a try as failed, until it is forgiven.

        Raises:
            TooManyTriesError: it must not be made.
        """
        at = self._monotonic()
        for key in keys:
            tries = self._failures.get(key, deque())
            while tries and tries[0] <= at - _WITHIN_S:
                tries.popleft()
            if len(tries) >= _TRIES:
                raise TooManyTriesError(max(1, round(tries[0] + _WITHIN_S - at)))
        for key in keys:
            tries = self._failures.pop(key, deque())
            self._failures[key] = tries  # the newest last
            tries.append(at)
        while len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def forgive(self, keys: tuple[str, str]) -> None:
        """The newest try was right: its login starts afresh, its address has one failure less."""
        login, address = keys
        self._failures.pop(login, None)
        if tries := self._failures.get(address):
            tries.pop()


def _network(address: str) -> str:
    """Whoever has an IPv6 address mostly has all of its network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _ONE_HOUSEHOLD), strict=False))


def _matches(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
