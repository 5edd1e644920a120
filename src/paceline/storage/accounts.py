"""Traffic accounts: their rows, and what outcomes do to them (breaker, hold, release)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, insert, or_, select, update

from paceline.domain.errors import ConflictError, NotFoundError
from paceline.domain.outcome import Outcome
from paceline.domain.verdict import Close, Hold, Policy, Reopen, effect_on_account
from paceline.storage import audit_log
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import (
    account_turns,
    batches,
    campaigns,
    installation,
    messages,
    tenants,
    traffic_accounts,
)
from paceline.storage.sealing import Sealer, SecretError, is_sealed

SIMULATOR = "simulator"
"""The provider whose accounts reach nobody: its adapter calls addresses of our own network only."""
_WHY_LENGTH = 300


def feel(
    connection: Connection,
    account_id: int,
    outcome: Outcome,
    started_at: int | None,
    policy: Policy,
    *,
    was_well: bool = False,
) -> None:
    """Let the account feel an outcome: close, hold or reopen it.

    The row is locked only when something changes, which in good times is never. Calls that were
    under way when the breaker closed tell nothing new: they neither count as failures nor open it.
    Only a 429 among them is heeded: the provider asks for time, and may ask for more.

    Args:
        connection: of a write transaction that holds no lock later than the campaign's.
        account_id: whose call it was.
        outcome: what came of it.
        started_at: when the attempt was written; None when there was none (no connection).
        policy: whose backoff the breaker borrows.
        was_well: it had no failures when the attempt was written. Then a good answer has nothing to
            end: failures since then are of calls that know more than this one.
    """
    if was_well and isinstance(effect_on_account(outcome, 0, policy), Reopen):
        return
    account = connection.execute(_FEELINGS, {"account": account_id}).one()
    effect = effect_on_account(outcome, account.failures, policy)
    if isinstance(effect, Reopen) and account.failures == 0:
        return
    account = connection.execute(_LOCK_FEELINGS, {"account": account_id}).one()
    at = now(connection)
    if isinstance(effect, Hold) and account.held_at is None:
        _log(connection, get(connection, account_id), "hold", audit_log.PROVIDER)
    effect = effect_on_account(outcome, account.failures, policy)
    changes = _changes(account, effect, at)
    if isinstance(effect, Close | Reopen) and not _tells_something_new(account, started_at, at):
        if not isinstance(effect, Close) or effect.failure:
            return
        changes = {"closed_until": changes["closed_until"]}
    connection.execute(_SET_FEELINGS.values(**changes), {"account": account_id})


def _tells_something_new(account: AnyRow, started_at: int | None, at: int) -> bool:
    if account.closed_at is None:
        return True
    began = at if started_at is None else started_at
    return bool(began >= max(account.closed_at, account.closed_until or 0))


def _changes(account: AnyRow, effect: Reopen | Close | Hold, at: int) -> dict[str, Any]:
    match effect:
        case Hold(why):
            return {"held_at": at, "held_why": why[:_WHY_LENGTH]}
        case Close(for_ms, failure, why):
            return {
                "closed_at": at if failure else None,
                "closed_until": max(at + for_ms, account.closed_until or 0),
                "closed_why": why[:_WHY_LENGTH],
                "failures": account.failures + 1 if failure else 0,
            }
        case Reopen():
            return {"failures": 0, "closed_at": None, "closed_why": None}


def hold(connection: Connection, account_id: int, why: str) -> None:
    """Send nothing on an account until an operator releases it."""
    held = connection.execute(
        update(traffic_accounts)
        .where(traffic_accounts.c.id == account_id, traffic_accounts.c.held_at.is_(None))
        .values(held_at=now(connection), held_why=why[:_WHY_LENGTH])
    )
    if held.rowcount:
        _log(connection, get(connection, account_id), "hold", audit_log.SYSTEM)


def release(connection: Connection, account_id: int) -> AnyRow:
    """An operator says that the account works again: end its hold and forget its failures."""
    connection.execute(
        update(traffic_accounts)
        .where(traffic_accounts.c.id == account_id)
        .values(
            held_at=None,
            held_why=None,
            failures=0,
            closed_at=None,
            closed_until=None,
            closed_why=None,
        )
    )
    return get(connection, account_id)


def get(connection: Connection, account_id: int) -> AnyRow:
    """One account.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = connection.execute(
        select(traffic_accounts).where(traffic_accounts.c.id == account_id)
    ).first()
    if row is None:
        raise NotFoundError("traffic account", account_id)
    return row


def of_campaign(connection: Connection, campaign_id: int) -> AnyRow:
    """The account that a campaign sends with."""
    return connection.execute(
        select(traffic_accounts)
        .join(campaigns, campaigns.c.account_id == traffic_accounts.c.id)
        .where(campaigns.c.id == campaign_id)
    ).one()


def usable(connection: Connection, tenant_id: int, account_id: int | None) -> AnyRow:
    """The account a tenant's campaign will use: the one named, else its own default, else the
    installation's, else the oldest that it may use.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
    """
    everybodys = select(installation.c.default_account_id).scalar_subquery()
    default = select(func.coalesce(tenants.c.default_account_id, everybodys)).where(
        tenants.c.id == tenant_id
    )
    wanted = account_id or connection.execute(default).scalar_one()
    query = (
        select(traffic_accounts)
        .where(
            or_(traffic_accounts.c.tenant_id.is_(None), traffic_accounts.c.tenant_id == tenant_id)
        )
        .order_by(traffic_accounts.c.id)
    )
    if wanted is not None:
        query = query.where(traffic_accounts.c.id == wanted)
    row = connection.execute(query.limit(1)).first()
    if row is None:
        raise NotFoundError("traffic account", wanted if wanted is not None else "for this tenant")
    return row


def is_simulated(account: AnyRow) -> bool:
    """Whether an account reaches nobody, now and ever: see ``change``."""
    return bool(account.provider == SIMULATOR)


def simulated(connection: Connection, tenant_id: int) -> AnyRow:
    """The account for a tenant's tests that name none: its default if that is the simulator's, else
    the oldest one of the simulator's that it may use.

    Raises:
        NotFoundError: there is none.
    """
    usual = usable(connection, tenant_id, None)
    if is_simulated(usual):
        return usual
    for account in all_of(connection, tenant_id):
        if is_simulated(account):
            return account
    raise NotFoundError("traffic account", "with the simulator as its provider: add one for tests")


def message_is_simulated(connection: Connection, tenant_id: int, message_id: int) -> bool:
    """Whether a tenant's message goes to nobody but the simulator."""
    provider = connection.execute(
        select(traffic_accounts.c.provider)
        .join(batches, batches.c.account_id == traffic_accounts.c.id)
        .join(messages, messages.c.batch_id == batches.c.id)
        .where(messages.c.id == message_id, messages.c.tenant_id == tenant_id)
    ).scalar()
    return provider == SIMULATOR


def all_of(connection: Connection, tenant_id: int | None = None) -> list[AnyRow]:
    """Every account, or those that one tenant may use, oldest first."""
    query = select(traffic_accounts).order_by(traffic_accounts.c.id)
    if tenant_id is not None:
        query = query.where(
            or_(traffic_accounts.c.tenant_id.is_(None), traffic_accounts.c.tenant_id == tenant_id)
        )
    return list(connection.execute(query))


def keep(
    connection: Connection, *, name: str, values: Mapping[str, Any], sealer: Sealer | None = None
) -> AnyRow:
    """Make the account of this name, or bring the one there is up to ``values``.

    Args:
        connection: of a write transaction.
        name: unique among accounts.
        values: columns of ``traffic_accounts``; ``provider``, ``base_url``, ``external_id``,
            ``api_key`` (plain) and ``sender`` are needed for a new one.
        sealer: seals the key; None leaves it plain, until a process starts that has one.
    """
    row = by_name(connection, name)
    if row is not None:
        return change(connection, row.id, values, sealer=sealer)
    account_id = connection.execute(
        insert(traffic_accounts).returning(traffic_accounts.c.id),
        {
            "name": name,
            "webhook_token": secrets.token_urlsafe(32),
            "options": {},
            "created_at": now(connection),
            **_sealed(values, sealer),
        },
    ).scalar_one()
    connection.execute(insert(account_turns), {"account_id": account_id})
    return get(connection, account_id)


def by_name(connection: Connection, name: str) -> AnyRow | None:
    return connection.execute(
        select(traffic_accounts).where(traffic_accounts.c.name == name)
    ).first()


def change(
    connection: Connection,
    account_id: int,
    values: Mapping[str, Any],
    *,
    sealer: Sealer | None = None,
) -> AnyRow:
    """Change columns of an account, its limits among them; they hold from the next intent on.

    ``api_key`` is plain, and sealed by ``sealer`` as in ``keep``.

    Raises:
        NotFoundError: there is none with this id.
        ConflictError: it is the simulator's and would become another provider's; what was meant for
            nobody would go to people.
    """
    stored = get(connection, account_id)
    if is_simulated(stored) and values.get("provider", SIMULATOR) != SIMULATOR:
        raise ConflictError(
            f"The traffic account “{stored.name}” is the simulator's, and stays that: tests may be "
            "waiting to be sent with it. Add another account for another provider."
        )
    if changed := _sealed(values, sealer, stored.api_key):
        connection.execute(
            update(traffic_accounts).where(traffic_accounts.c.id == account_id).values(**changed)
        )
    return get(connection, account_id)


def _sealed(
    values: Mapping[str, Any], sealer: Sealer | None, stored: str | None = None
) -> Mapping[str, Any]:
    """The columns as they are to be stored. A key that is the stored one already is left alone: no
    two seals are alike, and adapters would take a new one for a new key.
    """
    key = values.get("api_key")
    if key is None or sealer is None:
        return values
    if stored is not None and is_sealed(stored) and _opens_to(sealer, stored, key):
        return {name: value for name, value in values.items() if name != "api_key"}
    return {**values, "api_key": sealer.seal(key)}


def _opens_to(sealer: Sealer, stored: str, key: str) -> bool:
    try:
        return sealer.open(stored) == key
    except SecretError:
        return False


def make_default(connection: Connection, account_id: int, *, actor: str = audit_log.SYSTEM) -> None:
    """Let campaigns that name no account, of tenants without a default, use this one."""
    changed = connection.execute(
        update(installation)
        .where(installation.c.default_account_id.is_distinct_from(account_id))
        .values(default_account_id=account_id)
    )
    if changed.rowcount:
        _log(connection, get(connection, account_id), "default", actor)


def _log(connection: Connection, account: AnyRow, verb: str, actor: str) -> None:
    audit_log.write(
        connection,
        tenant_id=account.tenant_id,
        actor=actor,
        action=f"account.{verb}",
        subject=f"account {account.id}",
    )


def by_webhook_token(connection: Connection, provider: str, token: str) -> AnyRow | None:
    """The account whose secret webhook path this is. The token has 256 bits and is looked up by
    an index on its whole, so timing tells nothing worth having. Webhooks keep the answer for
    ``KNOWN_S``, so a token that was changed ends within that.
    """
    return connection.execute(
        select(traffic_accounts).where(
            traffic_accounts.c.webhook_token == token, traffic_accounts.c.provider == provider
        )
    ).first()


_ACCOUNT: BindParameter[int] = bindparam("account")
_FEELINGS = select(
    traffic_accounts.c.failures,
    traffic_accounts.c.closed_at,
    traffic_accounts.c.closed_until,
    traffic_accounts.c.held_at,
).where(traffic_accounts.c.id == _ACCOUNT)
_LOCK_FEELINGS = _FEELINGS.with_for_update(key_share=True)
_SET_FEELINGS = update(traffic_accounts).where(traffic_accounts.c.id == _ACCOUNT)
