"""Those who may look at the dashboard, from the command line."""

from __future__ import annotations

import re

from tests.command_line import Run, data_of

PASSWORD = "correct horse battery\n"


def test_a_link_is_printed_alone_and_its_making_is_logged(run: Run) -> None:
    run("tenant", "create", "acme")
    link = run("login", "--tenant", "acme", "--role", "viewer", PACELINE_HOST="::")
    assert re.fullmatch(r"http://\[::1\]:\d+/sign-in/[\w-]{43}\n", link.stdout)
    (row,) = data_of(run("audit-log", "--tenant", "acme", "--json"))[:1]
    assert (row["action"], row["detail"]["role"]) == ("link.add", "viewer")
    assert link.stdout.strip().rpartition("/")[2] not in run("audit-log").stdout


def test_a_user_is_made_given_another_password_and_disabled(run: Run) -> None:
    run("tenant", "create", "acme")
    assert run("user", "create", "ana", stdin=PASSWORD).returncode == 0
    assert run("user", "create", "ana", stdin=PASSWORD).returncode == 5
    assert run("user", "password", "ana", stdin="another " + PASSWORD).returncode == 0
    assert run("user", "disable", "ana").returncode == 0
    (user,) = data_of(run("user", "list", "--json"))
    assert (user["login"], user["role"]) == ("ana", "sender")
    assert user["disabled_at"] is not None


def test_what_cannot_be_a_login_or_is_nobodys_is_said(run: Run) -> None:
    run("tenant", "create", "acme")
    spaced = run("user", "create", "ana bell", stdin=PASSWORD)
    assert (spaced.returncode, "no spaces" in spaced.stderr) == (1, True)
    short = run("user", "create", "ana", stdin="short\n")
    assert (short.returncode, "10 to 200" in short.stderr) == (1, True)
    nobody = run("user", "disable", "bob")
    assert (nobody.returncode, "There is no user “bob”" in nobody.stderr) == (5, True)
