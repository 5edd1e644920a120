"""Signing in to the dashboard with a login and a password."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.storage import users
from paceline.storage.database import Database

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
_TRIES = 5
_WITHIN_S = 60.0
_REMEMBERED = 10_000
"""Logins and addresses whose failed tries are counted; beyond that the oldest are forgotten."""
_HASHER = PasswordHasher()  # argon2id, with what RFC 9106 recommends where memory is scarce
_NOBODYS = _HASHER.hash("the password of no user")
"""Checked where there is no such user, so that an answer takes as long as where there is one."""


class WrongPasswordError(PacelineError):
    """Login and password do not belong together."""

    code = "wrong_password"


class TooManyTriesError(PacelineError):
    """Somebody guesses: nothing is tried for ``retry_after_s``."""

    code = "too_many_tries"
    retryable = True

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many failed tries. Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


def hashed(password: str) -> str:
    """A password as it is kept.

    Raises:
        InvalidInputError: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        wanted = f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        raise InvalidInputError.of("password", wanted)
    return _HASHER.hash(password)


class SigningIn:
    """Checks passwords for one process; hashing takes 64 MiB, so they go one by one.

    Args:
        database: where users are.
        monotonic: for the limit of failed tries, which is per login and per address.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._failures: dict[Hashable, deque[float]] = {}
        self._one_by_one = asyncio.Lock()

    async def with_password(self, login: str, password: str, *, address: str) -> str:
        """Open a session; return its secret.

        Raises:
            WrongPasswordError: they do not belong together, or the user is disabled.
            TooManyTriesError: there were too many of those.
        """
        keys = (("login", login), ("address", address))
        self._refuse_guessing(keys)
        user = await self._database.read(users.by_login, login)
        kept = _NOBODYS if user is None else user.password
        async with self._one_by_one:
            right = await asyncio.to_thread(_matches, kept, password[: LONGEST_PASSWORD + 1])
        if user is None or not right:
            self._note_failure(keys)
            raise WrongPasswordError("Login and password do not belong together.")
        self._failures.pop(keys[0], None)
        return await self._database.write(users.sign_in, user.id)

    def _refuse_guessing(self, keys: tuple[Hashable, ...]) -> None:
        at = self._monotonic()
        for key in keys:
            tries = self._failures.get(key, deque())
            while tries and tries[0] <= at - _WITHIN_S:
                tries.popleft()
            if len(tries) >= _TRIES:
                raise TooManyTriesError(max(1, round(tries[0] + _WITHIN_S - at)))

    def _note_failure(self, keys: tuple[Hashable, ...]) -> None:
        for key in keys:
            self._failures.setdefault(key, deque(maxlen=_TRIES)).append(self._monotonic())
        while len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]


def _matches(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
