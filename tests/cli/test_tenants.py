"""Tenants, keys and the audit log from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.command_line import Run, data_of

SIMULATED = (
    *("--provider", "simulator", "--base-url", "http://localhost:1", "--external-id", "a"),
    *("--sender", "Shop", "--api-key", "k"),
)


def test_a_tenant_is_made_changed_and_shown(run: Run) -> None:
    made = data_of(run("tenant", "create", "acme", "--timezone", "Europe/Athens", "--json"))
    assert (made["name"], made["timezone"], made["sender"]) == ("acme", "Europe/Athens", None)
    words = ("--sender", "ACME", "--daily-cap", "500", "--quiet-hours", "21:00-08:30")
    changed = data_of(run("tenant", "change", "acme", *words, "--frequency-cap", "3/7", "--json"))
    assert (changed["sender"], changed["daily_cap"]) == ("ACME", 500)
    assert (changed["quiet_from"], changed["quiet_until"]) == ("21:00", "08:30")
    assert (changed["frequency_max"], changed["frequency_days"]) == (3, 7)
    gone = ("--sender", "none", "--quiet-hours", "none", "--daily-cap", "none")
    after = data_of(run("tenant", "change", "acme", *gone, "--json"))
    assert after == {
        **changed,
        "sender": None,
        "daily_cap": None,
        "quiet_from": None,
        "quiet_until": None,
    }
    assert data_of(run("tenant", "show", "acme", "--json")) == after
    assert run("tenant", "create", "acme").returncode == 5
    wrong = run("tenant", "change", "acme", "--quiet-hours", "9pm", "--timezone", "x")
    assert wrong.returncode == 1
    assert "21:00-08:00" in wrong.stderr
    assert "Europe/Athens" in run("tenant", "change", "acme", "--timezone", "x").stderr


def test_a_key_has_scopes_and_an_end_and_is_rotated_and_all_of_it_is_logged(run: Run) -> None:
    words = ("--name", "till", "--scope", "send", "--scope", "read", "--expires", "90d")
    made = data_of(run("key", "create", "--tenant", "acme", *words, "--json"))
    assert made["scopes"] == ["read", "send"]
    second = data_of(run("key", "rotate", str(made["id"]), "--grace-s", "0", "--json"))
    assert (second["name"], second["expires_at"]) == ("till", made["expires_at"])
    test = data_of(run("key", "create", "--tenant", "acme", "--test", "--json"))
    assert (test["key"][:3], test["scopes"], test["test"]) == ("pt_", ["read", "send"], True)
    refused = run("key", "create", "--tenant", "acme", "--test", "--scope", "admin")
    assert (refused.returncode, "test key" in refused.stderr) == (1, True)
    assert "90d" in run("key", "create", "--tenant", "acme", "--expires", "soon").stderr
    rows = data_of(run("audit-log", "--tenant", "acme", "--json"))
    actions = ["tenant.add", "key.add", "key.rotate", "key.add"]
    assert [row["action"] for row in reversed(rows)] == actions
    assert all(row["actor"].startswith("cli ") for row in rows)
    assert made["key"] not in run("audit-log").stdout


def test_numbers_that_are_no_limits_are_refused_and_nothing_changed(run: Run) -> None:
    run("tenant", "create", "acme")
    for words, what in (
        (("change", "acme", "--frequency-cap", "3/999"), "frequency_days"),
        (("change", "acme", "--daily-cap", "0"), "--daily-cap"),
        (("limit", "acme", "--max", "999999999"), "--max"),
        (("change", "acme"), "say what to change"),
        (("create", "beta", "--timezone", "Z" * 100), "timezone"),
    ):
        refused = run("tenant", *words)
        assert refused.returncode != 0, words
        assert what in refused.stderr, words
    shown = data_of(run("tenant", "list", "--json"))
    assert [(each["name"], each["frequency_days"], each["rate_max"]) for each in shown] == [
        ("acme", None, None)
    ]
    changes = [each["action"] for each in data_of(run("audit-log", "--tenant", "acme", "--json"))]
    assert "tenant.change" not in changes


def test_hours_may_have_blanks_and_a_filter_may_be_in_a_file(run: Run, tmp_path: Path) -> None:
    changed = data_of(run("tenant", "create", "acme", "--quiet-hours", "21:00 - 08:00", "--json"))
    assert (changed["quiet_from"], changed["quiet_until"]) == ("21:00", "08:00")
    (tmp_path / "athens.txt").write_text('city is "Athens"', encoding="utf-8")
    words = ("--text", "Hi", "--filter", f"@{tmp_path}/athens.txt", "--tenant", "acme")
    run("account", "add", "main", *SIMULATED)
    made = data_of(run("campaign", "create", "--name", "A", *words, "--json"))
    assert made["filter"] == {"attribute": "city", "is": "Athens"}


def test_what_is_not_there_is_shown_as_nothing(run: Run) -> None:
    run("tenant", "create", "acme")
    run("account", "add", "main", *SIMULATED)
    made = data_of(
        run("campaign", "create", "--name", "A", "--text", "Hi", "--tenant", "acme", "--json")
    )
    for verb in ("preview", "estimate"):
        said = run("campaign", verb, str(made["id"]), "--tenant", "acme")
        assert said.returncode == 0, said.stderr
        assert "{}" not in said.stdout
