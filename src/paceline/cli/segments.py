"""Audience segments from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.api.segments import Segment, SegmentPreview
from paceline.cli.output import say_facts, say_json, say_table
from paceline.cli.session import AsJson, TenantName, group, session
from paceline.domain import segment_json
from paceline.domain.errors import InvalidInputError
from paceline.domain.segment import Filter
from paceline.engine.audiences import read_text
from paceline.engine.drafts import MAX_NAME
from paceline.storage import audience, segments

segment = group(
    """
    Name groups of contacts by what they have in common, and see who they are.

    Example:
    paceline segment preview --filter 'city is "Athens" and not in list 3'
    paceline segment create --name Athens --filter 'city is "Athens"'
    paceline campaign create --name Spring --text Hello --segment 1
    """
)

SegmentId = Annotated[int, typer.Argument(metavar="ID", help="The segment's id.")]
_FACTS = ("id", "name", "text", "updated_at")
_SHOWN = ("id", "phone", "first_name", "last_name")
_FILTER = "Whom it means, as text or JSON; @FILE reads a file."


@segment.command()
def create(
    name: Annotated[str, typer.Option(help="What you call the segment.")],
    wanted: Annotated[str, typer.Option("--filter", help=_FILTER)],
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a segment of the contacts whom a filter means."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.database.write_now(
            segments.create, tenant.id, name=_checked(name), wanted=filter_in(wanted)
        )
    _show(row, as_json=as_json)


@segment.command("list")
def list_segments(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List the segments."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        documents: list[dict[str, Any]] = []
        while page := here.database.read_now(
            segments.page, tenant.id, after=documents[-1]["id"] if documents else 0
        ):
            documents += [Segment.of(row).model_dump(mode="json") for row in page]
    if as_json:
        say_json(documents)
    else:
        say_table(_FACTS, [[document[name] for name in _FACTS] for document in documents])


@segment.command()
def show(segment_id: SegmentId, tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """Show one segment."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.database.read_now(segments.get, tenant.id, segment_id)
    _show(row, as_json=as_json)


@segment.command()
def change(
    segment_id: SegmentId,
    name: Annotated[str | None, typer.Option(help="What you call it from now on.")] = None,
    wanted: Annotated[str | None, typer.Option("--filter", help=_FILTER)] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Change a segment; campaigns that have started keep what they started with."""
    if name is None and wanted is None:
        raise typer.BadParameter("say what to change: --name, --filter or both")
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.database.write_now(
            segments.change,
            tenant.id,
            segment_id,
            name=None if name is None else _checked(name),
            wanted=None if wanted is None else filter_in(wanted),
        )
    _show(row, as_json=as_json)


@segment.command()
def remove(segment_id: SegmentId, tenant_name: TenantName = None) -> None:
    """Delete a segment; refused while a campaign that has not started needs it."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        here.database.write_now(segments.remove, tenant.id, segment_id)
    typer.echo(f"Segment {segment_id} is deleted; its contacts stay.", err=True)


@segment.command()
def preview(
    segment_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="The segment's id, or else --filter.")
    ] = None,
    wanted: Annotated[str | None, typer.Option("--filter", help=_FILTER)] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Count the contacts whom a segment or a filter means, and show ten."""
    if (segment_id is None) == (wanted is None):
        raise typer.BadParameter("say which: the id of a segment, or --filter")
    with session() as here:
        tenant = here.tenant(tenant_name)
        if segment_id is not None:
            row = here.database.read_now(segments.get, tenant.id, segment_id)
            meant = segment_json.read(row.filter)
        else:
            meant = filter_in(wanted or "")
            here.database.read_now(segments.refuse_unknown, tenant.id, meant)
        seen = here.database.read_now(audience.preview, tenant.id, meant)
    document = SegmentPreview.of(segment_json.write(meant), seen).model_dump(mode="json")
    if as_json:
        say_json(document)
        return
    say_facts({name: document[name] for name in ("count", "suppressed", "text")})
    say_table(_SHOWN, [[each[name] for name in _SHOWN] for each in document["examples"]])


def filter_in(written: str) -> Filter:
    """The filter of an option: a text, JSON, or a file with one of them.

    Raises:
        InvalidInputError: with every fault.
        OSError: the file cannot be read.
    """
    if written.startswith("@"):
        written = Path(written[1:]).read_text(encoding="utf-8")
    return read_text(written)


def _checked(name: str) -> str:
    if not 0 < len(name.strip()) <= MAX_NAME:
        raise InvalidInputError.of("--name", f"must have 1 to {MAX_NAME} characters")
    return name


def _show(row: Any, *, as_json: bool) -> None:
    document = Segment.of(row).model_dump(mode="json")
    if as_json:
        say_json(document)
    else:
        say_facts({name: document[name] for name in _FACTS})


COMMANDS = {"segment": segment}
