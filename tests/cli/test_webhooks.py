"""Webhook endpoints from the command line."""

from __future__ import annotations

from tests.command_line import Run, data_of


def test_an_endpoint_is_added_tried_replayed_and_removed(run: Run) -> None:
    run("key", "create", "--tenant", "acme")
    url = "https://example.com/hooks"
    added = data_of(run("webhook", "add", url, "--event", "message.sent", "--json"))
    assert added["secret"].startswith("whsec_")
    assert added["events"] == ["message.sent"]
    (listed,) = data_of(run("webhook", "list", "--json"))
    assert listed == {name: value for name, value in added.items() if name != "secret"}
    assert run("webhook", "test", "1").returncode == 0
    assert run("webhook", "replay", "1", "--delivery", "1").stdout == "1 queued\n"
    since = run("webhook", "replay", "1", "--since", "2020-01-01T00:00:00Z")
    assert since.stdout == "0 queued\n"
    assert run("webhook", "replay", "1").returncode == 1
    assert "--since" in run("webhook", "replay", "1", "--since", "soon").stderr
    assert run("webhook", "remove", "1").returncode == 0
    assert run("webhook", "remove", "1").returncode == 5


def test_plain_http_is_for_development(run: Run) -> None:
    run("key", "create", "--tenant", "acme")
    url = "http://localhost:9000/"
    refused = run("webhook", "add", url)
    assert refused.returncode == 1
    assert "https://" in refused.stderr
    assert run("webhook", "add", url, PACELINE_WEBHOOK_ALLOW_PRIVATE="true").returncode == 0
