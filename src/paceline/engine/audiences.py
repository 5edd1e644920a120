"""Audiences as people describe them: a filter comes as JSON or as a text, and every fault of it is
named at its place.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from paceline.domain import segment_json, segment_text
from paceline.domain.errors import InvalidInputError, Problem
from paceline.domain.segment import Filter
from paceline.storage import segments
from paceline.storage.schema import campaigns as campaigns_table
from paceline.storage.schema import segments as segments_table

FILTER = "filter"
"""The field that a filter comes in."""
MAX_EXCLUDED = 50
"""Campaigns that one can exclude."""


def read_filter(given: Any) -> Filter:
    """The filter that somebody describes, as JSON or, if it is a string, as a text.

    Raises:
        InvalidInputError: with every fault: ``filter.all[1].is``, or the character of the text.
    """
    try:
        if isinstance(given, str):
            return segment_text.parse(given)
        return segment_json.read(given)
    except InvalidInputError as error:
        problems = [Problem(_place(each.where), each.reason) for each in error.problems]
        raise InvalidInputError(error.message, tuple(problems)) from None


def read_text(written: str) -> Filter:
    """The filter of a command line: a text, or JSON if it begins like that.

    Raises:
        InvalidInputError: with every fault.
    """
    if not written.lstrip().startswith("{"):
        return read_filter(written)
    try:
        document = json.loads(written)
    except ValueError as error:
        raise InvalidInputError.of(FILTER, f"is not JSON: {error}") from None
    return read_filter(document)


def rule_problems(
    connection: Connection,
    tenant_id: int,
    segment_id: int | None,
    given: Any,
    excluded: Collection[int],
) -> tuple[Filter | None, list[Problem]]:
    """The filter of a new campaign, and what is wrong with how its audience is described."""
    problems: list[Problem] = []
    if segment_id is not None and given is not None:
        problems.append(Problem(FILTER, "cannot stand beside segment_id: leave out one of them"))
    if segment_id is not None and segments.unknown(
        connection, tenant_id, segments_table, [segment_id]
    ):
        problems.append(Problem("segment_id", f"there is no segment {segment_id}"))
    wanted = None
    if given is not None:
        try:
            wanted = read_filter(given)
            problems += segments.unknown_in(connection, tenant_id, wanted)
        except InvalidInputError as error:
            problems += error.problems
    if len(excluded) > MAX_EXCLUDED:
        problems.append(Problem("exclude_campaign_ids", f"has more than {MAX_EXCLUDED} campaigns"))
    else:
        problems += [
            Problem("exclude_campaign_ids", f"there is no campaign {each}")
            for each in segments.unknown(connection, tenant_id, campaigns_table, excluded)
        ]
    return wanted, problems


def _place(inside: str) -> str:
    return f"{FILTER}.{inside}" if inside else FILTER
