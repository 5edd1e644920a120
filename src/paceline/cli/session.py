"""What most commands begin with: settings, a ready database, and the tenant they speak for."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from paceline import telemetry
from paceline.cli.failures import complain
from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.engine.process import ready_database, unlock
from paceline.settings import Settings, load
from paceline.storage import notices, tenants
from paceline.storage.database import AnyRow, Database
from paceline.storage.sealing import Sealer

if TYPE_CHECKING:
    from paceline.engine.orders import Orders

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TenantName = Annotated[
    str | None, typer.Option("--tenant", help="The tenant's name; needed once there are several.")
]


@dataclass(frozen=True, slots=True)
class Session:
    """A command's connection to its database."""

    settings: Settings
    database: Database

    def tenant(self, name: str | None) -> AnyRow:
        """The tenant a command speaks for.

        Raises:
            NotFoundError: there is none of this name, or none at all.
            InvalidInputError: there are several and none was named.
        """
        if name is not None:
            return self.database.read_now(tenants.by_name, name)
        known = self.database.read_now(tenants.all_of_them)
        if not known:
            raise NotFoundError("tenant", "yet: make one with paceline key create --tenant NAME")
        if len(known) > 1:
            names = ", ".join(row.name for row in known)
            raise InvalidInputError.of("--tenant", f"say which one: {names}")
        return known[0]

    def unlocked(self) -> Sealer:
        """What opens and seals credentials.

        Raises:
            SecretError: they were sealed with another secret than ours.
        """
        return unlock(self.database, self.settings)

    def wake_workers(self) -> None:
        """Tell the workers of other processes that there is work, where there is a way to."""
        if not self.database.is_sqlite:
            self.database.write_now(notices.ring)

    def order(self, carry_out: Callable[[Orders], Awaitable[T]]) -> T:
        """Give an order as the API would, and wake the workers that run elsewhere."""
        from paceline.engine.orders import Orders
        from paceline.engine.wakeups import waking

        async def carried_out() -> T:
            async with waking(self.database) as wake:
                orders = Orders(self.database, self.settings, wake=wake)
                return await carry_out(orders.by(operator()))

        return asyncio.run(carried_out())


def settings_of_process(*, quiet: bool = False) -> Settings:
    """The settings of the environment, with logging set up by them.

    Args:
        quiet: show warnings only, for commands that print their own progress.

    Raises:
        SettingsError: with every problem.
    """
    settings = load(os.environ)
    level = "warning" if quiet and settings.log_level == "info" else settings.log_level
    telemetry.configure(level, settings.log_format)
    for talkative in ("alembic", "uvicorn"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    for warning in settings.warnings:
        complain(f"warning: {warning}")
    return settings


@contextmanager
def session() -> Iterator[Session]:
    """Settings and a ready database for one command."""
    settings = settings_of_process(quiet=True)
    with ready_database(settings) as database:
        yield Session(settings, database)


def operator() -> str:
    """Who gives this command, as the audit log names them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"cli {user}@{socket.gethostname()}"


def values(row: Any) -> dict[str, Any]:
    """A row as a dictionary."""
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def group(purpose: str) -> typer.Typer:
    """A command with verbs of its own."""
    return typer.Typer(
        help=purpose,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
