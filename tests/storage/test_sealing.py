"""Credentials at rest: sealed, opened by the right secret only, resealed when it changes."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, update

from paceline.settings import load
from paceline.storage import accounts, credentials
from paceline.storage.schema import (
    audit_log,
    installation,
    traffic_accounts,
    webhook_endpoints,
)
from paceline.storage.sealing import KEY_FILE, Sealer, SecretError, is_sealed, sealer_of
from tests.storage.world import World

FIRST, SECOND = "the first secret", "the second secret"
KEY = "provider-key-1"


# --- the sealer


def test_a_sealed_text_is_opened_by_its_secret_and_by_no_other():
    sealed = Sealer(FIRST).seal("schlüssel")
    assert "schlüssel" not in sealed
    assert Sealer(FIRST).open(sealed) == "schlüssel"
    with pytest.raises(SecretError, match="PACELINE_SECRET_OLD"):
        Sealer(SECOND).open(sealed)


def test_no_two_seals_of_a_text_are_alike():
    sealer = Sealer(FIRST)
    assert sealer.seal(KEY) != sealer.seal(KEY)


def test_a_seal_that_was_changed_is_not_opened():
    sealed = Sealer(FIRST).seal(KEY)
    middle = len(sealed) // 2
    other = "A" if sealed[middle] != "A" else "B"
    with pytest.raises(SecretError):
        Sealer(FIRST).open(sealed[:middle] + other + sealed[middle + 1 :])


def test_what_was_stored_before_there_were_seals_is_read_as_it_is():
    assert Sealer(FIRST).open(KEY) == KEY


def test_with_the_secret_before_both_open_and_the_new_one_seals():
    both = Sealer(SECOND, FIRST)
    assert both.open(Sealer(FIRST).seal(KEY)) == KEY
    assert Sealer(SECOND).open(both.seal(KEY)) == KEY


def test_each_purpose_and_each_secret_has_a_key_of_its_own():
    sealer = Sealer(FIRST)
    keys = {sealer.derived("a"), sealer.derived("b"), Sealer(SECOND).derived("a")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert Sealer(FIRST, SECOND).derived("a") == sealer.derived("a")


def test_a_sealer_shows_nothing_of_its_secret():
    assert FIRST not in repr(Sealer(FIRST))


# --- where the secret comes from


def test_without_a_secret_a_file_for_its_owner_alone_is_made_and_kept(tmp_path):
    settings = load({"PACELINE_DATA_DIR": str(tmp_path / "data")})
    sealed = sealer_of(settings).seal(KEY)
    file = tmp_path / "data" / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().strip()) >= 43
    assert sealer_of(settings).open(sealed) == KEY
    assert list(file.parent.iterdir()) == [file]


def test_what_the_file_holds_can_be_given_as_the_secret(tmp_path):
    settings = load({"PACELINE_DATA_DIR": str(tmp_path)})
    sealed = sealer_of(settings).seal(KEY)
    given = load({"PACELINE_SECRET_FILE": str(tmp_path / KEY_FILE)})
    assert sealer_of(given).open(sealed) == KEY


def test_a_given_secret_makes_no_file(tmp_path):
    sealer_of(load({"PACELINE_DATA_DIR": str(tmp_path), "PACELINE_SECRET": FIRST}))
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path):
    script = (
        "import sys; from paceline.settings import load; "
        "from paceline.storage.sealing import sealer_of; print(flush=True); sys.stdin.read(1); "
        "print(sealer_of(load({'PACELINE_DATA_DIR': sys.argv[1]})).fingerprint)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in started:
        assert each.stdout
        each.stdout.readline()  # it is ready
    for each in started:
        assert each.stdin
        each.stdin.write("x")
        each.stdin.flush()
    said = {each.communicate()[0] for each in started}
    assert len(said) == 1
    assert said != {""}
    assert list(tmp_path.iterdir()) == [tmp_path / KEY_FILE]


def test_a_folder_without_room_for_the_file_says_what_to_set(tmp_path):
    (tmp_path / "data").write_text("a file is in the way")
    with pytest.raises(SecretError, match="PACELINE_SECRET"):
        sealer_of(load({"PACELINE_DATA_DIR": str(tmp_path / "data")}))


def test_an_empty_file_is_an_error_and_not_a_secret(tmp_path):
    (tmp_path / KEY_FILE).touch()
    with pytest.raises(SecretError, match="empty"):
        sealer_of(load({"PACELINE_DATA_DIR": str(tmp_path)}))


# --- in the database


@pytest.fixture
def installed(world: World) -> World:
    """An installation that nobody has checked in to, with an endpoint; all is plain."""
    world.write(lambda c: c.execute(update(installation).values(key_check=None)))
    endpoint = {
        "tenant_id": world.acme,
        "url": "https://example.com",
        "secret": "endpoint-secret",
        "events": [],
        "created_at": 0,
    }
    world.write(lambda c: c.execute(insert(webhook_endpoints), endpoint))
    return world


def stored(world: World) -> list[str]:
    keys = [row.api_key for row in world.rows(traffic_accounts)]
    return keys + [row.secret for row in world.rows(webhook_endpoints)]


def test_the_first_process_seals_what_is_plain_and_the_next_one_changes_nothing(installed):
    sealer = Sealer(FIRST)
    installed.write(credentials.check_in, sealer)
    sealed = stored(installed)
    assert [is_sealed(text) for text in sealed] == [True, True]
    assert [sealer.open(text) for text in sealed] == ["secret", "endpoint-secret"]
    installed.write(credentials.check_in, Sealer(FIRST))
    assert stored(installed) == sealed


def test_another_secret_is_refused_and_changes_nothing(installed):
    installed.write(credentials.check_in, Sealer(FIRST))
    installed.account("late", api_key="plain")
    before = stored(installed)
    with pytest.raises(SecretError, match="Give every process on every machine the same"):
        installed.write(credentials.check_in, Sealer(SECOND))
    assert stored(installed) == before


def test_a_new_secret_is_let_in_with_the_one_before_until_all_is_resealed(installed):
    installed.write(credentials.check_in, Sealer(FIRST))
    changing = Sealer(SECOND, FIRST)
    installed.write(credentials.check_in, changing)
    assert not installed.read(credentials.is_resealed, changing)
    with pytest.raises(SecretError):
        installed.write(credentials.check_in, Sealer(SECOND))

    done = installed.write(credentials.reseal, changing, lost=False, actor="cli me@here")
    assert (done.sealed, done.lost_accounts, done.lost_endpoints) == (2, [], [])
    assert installed.read(credentials.is_resealed, changing)
    installed.write(credentials.check_in, Sealer(SECOND))
    opened = [Sealer(SECOND).open(text) for text in stored(installed)]
    assert opened == ["secret", "endpoint-secret"]
    with pytest.raises(SecretError):
        installed.write(credentials.check_in, Sealer(FIRST))
    (logged,) = installed.rows(audit_log, action="secret.reseal")
    assert logged.actor == "cli me@here"


def test_what_cannot_be_opened_is_kept_unless_it_is_said_to_be_lost(installed):
    installed.write(credentials.check_in, Sealer(FIRST))
    before = stored(installed)
    with pytest.raises(SecretError):
        installed.write(credentials.reseal, Sealer(SECOND), lost=False, actor="me")
    assert stored(installed) == before

    done = installed.write(credentials.reseal, Sealer(SECOND), lost=True, actor="me")
    assert (done.sealed, done.lost_accounts) == (0, [installed.main])
    assert len(done.lost_endpoints) == 1
    assert "enter it again" in installed.account_row().held_why
    (endpoint,) = installed.rows(webhook_endpoints)
    assert "lost" in endpoint.disabled_why
    installed.write(credentials.check_in, Sealer(SECOND))
    assert "secret" not in [Sealer(SECOND).open(text) for text in stored(installed)]


def test_an_account_kept_again_unchanged_keeps_its_seal(world):
    values = {"api_key": KEY, "provider": "simulated"}
    sealer = Sealer(FIRST)
    world.write(accounts.keep, name="main", values=values, sealer=sealer)
    sealed = world.account_row().api_key
    assert sealer.open(sealed) == KEY
    world.write(accounts.keep, name="main", values={**values, "sender": "New"}, sealer=sealer)
    row = world.account_row()
    assert (row.api_key, row.sender) == (sealed, "New")
    world.write(accounts.keep, name="main", values={**values, "api_key": "new"}, sealer=sealer)
    assert sealer.open(world.account_row().api_key) == "new"


def test_a_key_that_cannot_be_opened_can_be_replaced(world):
    world.write(accounts.change, world.main, {"api_key": KEY}, sealer=Sealer(FIRST))
    world.write(accounts.change, world.main, {"api_key": "new"}, sealer=Sealer(SECOND))
    assert Sealer(SECOND).open(world.account_row().api_key) == "new"


def test_a_new_account_is_never_plain(world):
    values = {
        "provider": "simulated",
        "base_url": "http://localhost",
        "external_id": "1",
        "api_key": KEY,
        "sender": "ACME",
    }
    row = world.write(accounts.keep, name="new", values=values, sealer=Sealer(FIRST))
    assert KEY not in row.api_key


def test_of_two_that_check_in_first_at_once_one_is_refused(installed):
    with ThreadPoolExecutor(2) as together:
        tried = [
            together.submit(installed.database.write_now, credentials.check_in, Sealer(each))
            for each in (FIRST, SECOND)
        ]
    refused = [each.exception() for each in tried if each.exception()]
    assert len(refused) == 1
    assert isinstance(refused[0], SecretError)
