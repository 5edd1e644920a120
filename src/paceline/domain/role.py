"""Roles of those who sign in to the dashboard, and what each may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What somebody may do who is signed in; each may what the ones before may."""

    VIEWER = "viewer"
    """See everything of the tenant."""
    SENDER = "sender"
    """Make, start and stop campaigns, and decide what is unconfirmed."""
    MANAGER = "manager"
    """Change contacts, lists, suppressions, webhooks, keys and users."""
    ADMIN = "admin"
    """Change limits and traffic accounts of the installation."""

    def may(self, least: Role) -> bool:
        """Whether this role has the rights of ``least``."""
        return _ORDER.index(self) >= _ORDER.index(least)


_ORDER = tuple(Role)
