"""Tenants and traffic accounts as an operator changes them: faults are named, changes logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection

from paceline import providers
from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError, Problem
from paceline.domain.verdict import ServerErrorPolicy
from paceline.engine.drafts import sender_problems
from paceline.engine.tenant_faults import column_problems, name_problems, problems_of
from paceline.providers.base import Account
from paceline.storage import accounts, audit_log, inbound_numbers, tenants
from paceline.storage.database import AnyRow
from paceline.storage.sealing import Sealer

_LOGGED = frozenset({"rate_max", "rate_window_ms", "server_error"})
"""Columns whose values the audit log repeats; of the others it says that they changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """A traffic account as somebody describes it. Its ``api_key`` is plain, and shown nowhere."""

    name: str
    provider: str
    base_url: str
    external_id: str
    api_key: str = field(repr=False)
    sender: str
    tenant_id: int | None = None
    """None: all tenants may use it."""
    options: Mapping[str, Any] | None = field(default=None, repr=False)
    """None, here and below: the default, or as it was if the account is there already."""
    server_error: str | None = None
    rate_max: int | None = None
    rate_window_ms: int | None = None


def add_tenant(
    connection: Connection, name: str, values: Mapping[str, Any], *, actor: str
) -> AnyRow:
    """Make a tenant with these columns.

    Raises:
        InvalidInputError: with every fault of the description; those that lie in its account only
            if there are no others.
        ConflictError: there is a tenant of this name.
    """
    name = name.strip()
    refused = "The tenant cannot be made."
    if problems := (*name_problems(name), *column_problems(values, changed=values)):
        raise InvalidInputError(refused, problems)
    tenant = tenants.add(connection, name, values, actor=actor)
    # Which accounts it may use is known only now that it is there; a fault undoes the whole.
    if problems := tuple(problems_of(connection, tenant.id, _columns(tenant), changed=values)):
        raise InvalidInputError(refused, problems)
    return tenant


def change_tenant(
    connection: Connection, tenant_id: int, values: Mapping[str, Any], *, actor: str
) -> AnyRow:
    """Change columns of a tenant; they hold from the next intent on.

    Raises:
        NotFoundError: there is none with this id.
        InvalidInputError: with every fault of what it would become.
    """
    known = _columns(tenants.get(connection, tenant_id))
    if problems := tuple(problems_of(connection, tenant_id, {**known, **values}, changed=values)):
        raise InvalidInputError("The tenant cannot be changed.", problems)
    tenant = tenants.change(connection, tenant_id, values)
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action="tenant.change",
        subject=f"tenant {tenant_id}",
        **tenants.loggable(values),
    )
    return tenant


def add_account(
    connection: Connection, new: NewAccount, *, sealer: Sealer, actor: str, replace: bool = False
) -> AnyRow:
    """Make an account.

    Args:
        connection: of a write transaction.
        new: what it is.
        sealer: seals its key.
        actor: for the audit log.
        replace: bring the account of this name up to date, if there is one.

    Raises:
        InvalidInputError: with every fault of the description.
        ConflictError: there is an account of this name, and it is not to be replaced.
    """
    name = new.name.strip()
    known = accounts.by_name(connection, name)
    optional = {"options", "server_error", "rate_max", "rate_window_ms"}
    values = {
        column: value
        for column, value in asdict(new).items()
        if column != "name" and not (column in optional and value is None)
    }
    present = _columns(known) if known is not None else {"options": {}}
    problems = [*name_problems(name), *_problems(connection, {**present, **values})]
    if problems:
        raise InvalidInputError("The traffic account cannot be added.", tuple(problems))
    if known is None and new.server_error is None:
        capable = providers.capabilities_of(new.provider, values.get("options", {}))
        kept = ServerErrorPolicy.RETRY if capable.server_error_is_no else ServerErrorPolicy.HOLD
        values["server_error"] = kept
    if known is not None and not replace:
        raise ConflictError(f"There is a traffic account “{name}” already: number {known.id}.")
    account = accounts.keep(connection, name=name, values=values, sealer=sealer)
    _log_changes(connection, known, account, actor)
    return account


def keep_account(
    connection: Connection, *, name: str, values: Mapping[str, Any], sealer: Sealer
) -> None:
    """Bring the account that the settings describe up to date, and make it the default.

    It is taken as it is: what is wrong with it, ``paceline doctor`` says.
    """
    known = accounts.by_name(connection, name)
    account = accounts.keep(connection, name=name, values=values, sealer=sealer)
    _log_changes(connection, known, account, audit_log.SYSTEM)
    accounts.make_default(connection, account.id)


def change_account(
    connection: Connection,
    account_id: int,
    values: Mapping[str, Any],
    *,
    sealer: Sealer,
    actor: str,
) -> AnyRow:
    """Change columns of an account; they hold from the next intent on.

    Args:
        connection: of a write transaction.
        account_id: whose.
        values: columns of ``traffic_accounts``; ``api_key`` is plain.
        sealer: seals a new key, and opens the one there is.
        actor: for the audit log.

    Raises:
        NotFoundError: there is none with this id.
        InvalidInputError: with every fault of what it would become.
    """
    known = accounts.get(connection, account_id)
    if values.keys() - _LOGGED:
        key = values["api_key"] if "api_key" in values else sealer.open(known.api_key)
        problems = tuple(_problems(connection, {**_columns(known), **values, "api_key": key}))
        if problems:
            raise InvalidInputError("The traffic account cannot be changed.", problems)
    account = accounts.change(connection, account_id, values, sealer=sealer)
    _log_changes(connection, known, account, actor)
    return account


def release_account(connection: Connection, account_id: int, *, actor: str) -> AnyRow:
    """End an account's hold and forget its failures.

    Raises:
        NotFoundError: there is none with this id.
    """
    account = accounts.release(connection, account_id)
    _log(connection, "account.release", account, actor)
    return account


def give_number(
    connection: Connection, account_id: int, number: str, tenant_id: int, *, actor: str
) -> AnyRow:
    """Say whose the replies to a number of an account are.

    Raises:
        InvalidInputError: the number cannot be one, or that tenant may not use the account.
        NotFoundError: there is no such account or tenant.
    """
    row = inbound_numbers.add(connection, account_id, number, tenant_id)
    _log_number(connection, "number.add", account_id, tenant_id, actor)
    return row


def take_number(connection: Connection, account_id: int, number: str, *, actor: str) -> None:
    """Forget whose they are.

    Raises:
        NotFoundError: nobody has said whose.
    """
    tenant_id = inbound_numbers.remove(connection, account_id, number)
    _log_number(connection, "number.remove", account_id, tenant_id, actor)


def _problems(connection: Connection, values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with an account of these columns, its key plain."""
    if values["tenant_id"] is not None:
        try:
            tenants.get(connection, values["tenant_id"])
        except NotFoundError as error:
            yield Problem("tenant_id", error.message)
    key = values["api_key"]
    if not (key and key.isascii() and key.isprintable()):
        yield Problem("api_key", "must be printable ASCII, and not empty")
        key = "-"
    try:
        # Nothing is opened by making an adapter: it connects when it is first used.
        providers.create(
            Account(
                provider=values["provider"],
                base_url=values["base_url"],
                api_key=key,
                external_id=values["external_id"],
                options=values["options"],
            )
        )
    except InvalidInputError as error:
        yield from error.problems
        if any(problem.where == "provider" for problem in error.problems):
            return
    yield from sender_problems(values["provider"], values["sender"])


def _columns(row: AnyRow) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def _log_changes(connection: Connection, known: AnyRow | None, account: AnyRow, actor: str) -> None:
    """Say in the audit log which columns are not what they were, if any."""
    if known is None:
        _log(connection, "account.add", account, actor, provider=account.provider)
        return
    before, after = _columns(known), _columns(account)
    changed = {name for name in before if before[name] != after[name]}
    if changed:
        values = {name: after[name] for name in changed & _LOGGED}
        columns = sorted(changed - _LOGGED)
        _log(connection, "account.change", account, actor, changed=columns, **values)


def _log(connection: Connection, action: str, account: AnyRow, actor: str, **detail: Any) -> None:
    audit_log.write(
        connection,
        tenant_id=account.tenant_id,
        actor=actor,
        action=action,
        subject=f"account {account.id}",
        **detail,
    )


def _log_number(
    connection: Connection, action: str, account_id: int, tenant_id: int, actor: str
) -> None:
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action=action,
        subject=f"account {account_id}",
    )
