"""The table in docs/providers.md is what the adapters declare."""

from __future__ import annotations

from pathlib import Path

from paceline.providers import capabilities_of, names

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
MS_PER_HOUR = 3_600_000


def documented() -> dict[str, dict[str, str]]:
    """Provider → row → cell, of the first table."""
    lines = [line for line in PAGE.read_text().split("\n\n")[2].splitlines() if line]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    providers = [name.strip("`") for name in table[0][1:]]
    return {
        name: {row[0]: row[column] for row in table[2:]}
        for column, name in enumerate(providers, start=1)
    }


def test_every_provider_is_in_the_table():
    assert list(documented()) == names()


def test_the_table_says_what_is_declared():
    for name, row in documented().items():
        declared = capabilities_of(name, {})
        assert row["messages in a call"].split(",")[0] == str(declared.max_messages_per_call)
        assert row["deduplicates on it"].startswith("yes") == declared.deduplicates
        assert row["can be asked about it"].startswith("yes") == declared.looks_up
        assert row["receipts bring it back"].startswith("yes") == declared.echoes_reference
        if declared.looks_up:
            assert f"{declared.max_look_ups} at a time" in row["can be asked about it"]
        if declared.dedupe_horizon_ms is not None:
            hours = declared.dedupe_horizon_ms // MS_PER_HOUR
            assert f"{hours} h" in row["deduplicates on it"]


def test_what_the_simulator_is_told_is_in_the_table():
    row = documented()["simulator"]
    for option, where in (
        ("deduplicates=true", "deduplicates on it"),
        ("looks_up=true", "can be asked about it"),
        ("max_look_ups", "can be asked about it"),
        ("echoes_reference=false", "receipts bring it back"),
        ("max_messages_per_call", "messages in a call"),
    ):
        assert option in row[where]
    told = capabilities_of("simulator", {"looks_up": True})
    assert f"{told.max_look_ups} at a time" in row["can be asked about it"]
