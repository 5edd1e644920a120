"""What an API key may do: its scopes, and what goes with what.

No scope implies another, so a key has exactly what it was given: a shop's key that sends cannot
read who it sent to. Only what concerns the whole installation, its tenants and its traffic
accounts, is read with the scope that changes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.domain.role import Role


class Scope(StrEnum):
    """One thing that a key may do."""

    READ = "read"
    """Look at everything that the key's tenant has."""
    SEND = "send"
    """Make, start, pause and cancel campaigns, send messages, decide about unconfirmed ones."""
    MANAGE = "manage"
    """Change contacts, lists, suppressions, webhook endpoints and keys of its tenant."""
    ADMIN = "admin"
    """Change and see the installation's tenants and traffic accounts."""


OF_A_TENANT = (Scope.READ, Scope.SEND, Scope.MANAGE)
"""What a key gets that is made without naming any."""
OF_A_TEST_KEY = (Scope.READ, Scope.SEND)
"""What a test key may have. Contacts, lists and suppressions are those that live campaigns use as
well, so whoever changes them does what is not a test."""


OF_A_ROLE: Mapping[Role, tuple[Scope, ...]] = {
    Role.VIEWER: (Scope.READ,),
    Role.SENDER: (Scope.READ, Scope.SEND),
    Role.MANAGER: OF_A_TENANT,
    Role.ADMIN: tuple(Scope),
}
"""What those who sign in may do themselves, and so what they may give to keys at the most."""


class ScopeMissingError(PacelineError):
    """The key may not do this."""

    code = "scope_missing"

    def __init__(self, needed: Iterable[Scope], has: Iterable[Scope]) -> None:
        words = " or ".join(needed)
        super().__init__(
            f"This needs a key with the scope {words}; this key has {', '.join(has) or 'none'}."
        )


def read_scopes(names: Collection[str], *, test: bool = False) -> tuple[Scope, ...]:
    """Scopes by name, each once and in the order of ``Scope``.

    Raises:
        InvalidInputError: there is none, one is unknown, or one that no test key may have.
    """
    known = list(Scope)
    if not names:
        raise InvalidInputError.of("scopes", f"is empty; there are {', '.join(known)}")
    if unknown := sorted(set(names) - set(known)):
        wrong = ", ".join(unknown)
        raise InvalidInputError.of("scopes", f"does not know {wrong}; there are {', '.join(known)}")
    if test and (live := sorted(set(names) - set(OF_A_TEST_KEY))):
        raise InvalidInputError.of(
            "scopes",
            f"a test key cannot have {', '.join(live)}: what that changes, live campaigns use too",
        )
    return tuple(scope for scope in known if scope in names)
