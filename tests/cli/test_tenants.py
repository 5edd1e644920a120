"""Tenants, keys and the audit log from the command line."""

from __future__ import annotations

from tests.cli.test_commands import Run, data_of, run

__all__ = ["run"]


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
