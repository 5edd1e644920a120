"""API keys: scopes, ends, successors, and what the audit log says of them."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.domain.scope import Scope, ScopeMissingError, read_scopes
from paceline.engine import keys
from paceline.engine.keys import Giver, NewKey
from paceline.storage import audit_log, tenants
from paceline.storage.schema import audit_log as audit_log_table
from paceline.storage.tenants import PresentedKey

OPERATOR = Giver("operator")


def opens(world, secret):
    return world.read(tenants.authenticate, PresentedKey.of(secret))


def made(world, **values):
    return world.write(keys.create, world.acme, NewKey(name="ci", **values), giver=OPERATOR)


def test_a_key_may_do_what_its_scopes_say_and_nothing_else(world):
    _, secret = made(world, scopes=["send", "read"])
    assert opens(world, secret).scopes == (Scope.READ, Scope.SEND)
    assert not opens(world, secret).admin
    _, secret = made(world, scopes=["admin"])
    assert opens(world, secret).scopes == (Scope.ADMIN,)


def test_a_key_opens_until_its_end_and_not_from_then_on(world):
    _, secret = made(world, expires_at=world.now + 1_000)
    world.pass_time(999)
    assert opens(world, secret).ends_in_ms == 1
    world.pass_time(1)
    assert opens(world, secret) is None
    with pytest.raises(InvalidInputError, match="in the past"):
        made(world, expires_at=world.now)


def test_a_rotated_key_opens_beside_its_successor_until_the_grace_is_over(world):
    row, old = made(world, scopes=["send"], expires_at=world.now + 10_000)
    successor, new = world.write(
        keys.rotate, world.acme, row.id, grace_s=5, giver=Giver("x", [Scope.SEND])
    )
    same = ("name", "scopes", "test", "expires_at")
    assert [getattr(successor, name) for name in same] == [getattr(row, name) for name in same]
    world.pass_time(4_999)
    assert opens(world, old) is not None
    world.pass_time(1)
    assert opens(world, old) is None
    assert opens(world, new).key_id == successor.id
    world.pass_time(5_000)
    assert opens(world, new) is None


def test_without_a_grace_the_rotated_key_ends_at_once_and_can_not_be_rotated_again(world):
    row, old = made(world)
    world.write(keys.rotate, world.acme, row.id, grace_s=0, giver=OPERATOR)
    assert opens(world, old) is None
    with pytest.raises(NotFoundError):
        world.write(keys.rotate, world.acme, row.id, grace_s=0, giver=OPERATOR)


def test_a_grace_never_makes_a_key_live_longer(world):
    row, old = made(world, expires_at=world.now + 1_000)
    world.write(keys.rotate, world.acme, row.id, grace_s=60, giver=OPERATOR)
    world.pass_time(1_000)
    assert opens(world, old) is None


def test_nobody_gives_a_scope_that_they_lack(world):
    manager = Giver("manager", [Scope.MANAGE])
    with pytest.raises(ScopeMissingError, match="read or send"):
        world.write(
            keys.create, world.acme, NewKey(name="x", scopes=["read", "send"]), giver=manager
        )
    row, secret = made(world, scopes=["send"])
    with pytest.raises(ScopeMissingError):
        world.write(keys.rotate, world.acme, row.id, grace_s=0, giver=manager)
    assert opens(world, secret) is not None
    world.write(keys.revoke, world.acme, row.id, giver=manager)
    admins, secret = made(world, scopes=["admin"])
    with pytest.raises(ScopeMissingError, match="admin"):
        world.write(keys.revoke, world.acme, admins.id, giver=manager)
    assert opens(world, secret) is not None


def test_a_test_key_says_so_and_can_neither_manage_nor_administer(world):
    row, secret = made(world, test=True)
    assert secret.startswith("pt_")
    assert row.hint == secret[:11]
    caller = opens(world, secret)
    assert (caller.test, caller.scopes) == (True, (Scope.READ, Scope.SEND))
    for scope in ("manage", "admin"):
        with pytest.raises(InvalidInputError, match="test key"):
            made(world, test=True, scopes=[scope])


def test_unknown_or_no_scopes_are_refused_by_name():
    with pytest.raises(InvalidInputError, match="does not know fly, x; there are read"):
        read_scopes(["x", "read", "fly"])
    with pytest.raises(InvalidInputError, match="is empty"):
        read_scopes([])


def test_the_audit_log_tells_of_every_change_to_a_key_and_holds_no_secret(world):
    row, secret = made(world)
    successor, _ = world.write(keys.rotate, world.acme, row.id, grace_s=60, giver=OPERATOR)
    world.write(keys.revoke, world.acme, successor.id, giver=OPERATOR)
    rows = [row for row in world.read(audit_log.page, world.acme) if row.actor == "operator"]
    assert [(each.action, each.subject) for each in reversed(rows)] == [
        ("key.add", f"key {row.id}"),
        ("key.rotate", f"key {row.id}"),
        ("key.revoke", f"key {successor.id}"),
    ]
    assert secret not in str(rows)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log",
    ],
)
def test_what_the_audit_log_says_can_not_be_changed_or_deleted(world, statement):
    if ("TRUNCATE" in statement) == world.database.is_sqlite or (
        "REPLACE" in statement and not world.database.is_sqlite
    ):
        pytest.skip("the other database's words")
    before = world.rows(audit_log_table)
    assert before
    with pytest.raises(DBAPIError, match="only ever added to"):
        world.write(lambda c: c.execute(text(statement)))
    assert world.rows(audit_log_table) == before


def test_orders_of_a_campaign_and_what_happens_to_an_account_are_logged(world):
    campaign = world.sending(3)
    world.write(tenants.keep, "beta", actor="operator")
    actions = [row.action for row in reversed(world.read(audit_log.page, None))]
    assert actions == ["tenant.add", "campaign.add", "campaign.start", "tenant.add"]
    (start,) = [row for row in world.read(audit_log.page, None) if row.action == "campaign.start"]
    assert (start.subject, start.detail) == (f"campaign {campaign}", {"audience": 3})
