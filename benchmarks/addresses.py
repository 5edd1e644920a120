"""Every address of the dashboard that can be looked at, found from the application itself.

A page that is new is measured by itself. Only what cannot be guessed is written here: which things
ids are taken of, and what else can be asked of a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import Route

from benchmarks.furnishing import DRAFT, OTHERS, SCHEDULED, SENDING, SINGLE_CALLS, House
from benchmarks.installation import Installation, WrongRunError
from paceline.api.app import create_app
from paceline.cli.serving import add_dashboard
from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import MessageStatus, Reason
from paceline.settings import load


@dataclass(frozen=True, slots=True)
class Address:
    """Something to look at."""

    path: str
    route: str
    """The page's own path, with parameters in braces."""
    part: bool
    """Htmx asks for it: it is put into a page."""


def addresses(installation: Installation, house: House) -> list[Address]:
    """All of them.

    Raises:
        WrongRunError: there is a page of which no example is known here.
    """
    examples, queries = _examples(house), _queries(house)
    paths = list(_paths(installation))
    unknown = [each for each in paths if "{" in each and _example_of(each, examples) is None]
    if unknown:
        raise WrongRunError(f"no example for {', '.join(unknown)}: benchmarks/addresses.py")
    return [
        Address(concrete + query, path, "after=" in query or "before=" in query or _is_part(path))
        for path in paths
        for concrete in _concrete(path, examples)
        for query in ("", *queries.get(path, ()))
    ]


def _is_part(path: str) -> bool:
    """Whether a page asks for it by itself."""
    return path.rpartition("/")[2] in {"now", "hour", "live", "lately", "next", "review", "audit"}


def _paths(installation: Installation) -> Iterator[str]:
    """The paths of the routes that the dashboard adds and that can be looked at."""
    app = create_app(installation.database, load(installation.environ), wake=lambda: None)
    others = len(app.router.routes)
    add_dashboard(app)
    for route in app.router.routes[others:]:
        if isinstance(route, Route) and "GET" in (route.methods or ()):
            yield route.path


def _concrete(path: str, examples: Mapping[str, Sequence[object]]) -> list[str]:
    begin = _example_of(path, examples)
    if begin is None:
        return [path]
    return [
        f"{begin}{each}{path.removeprefix(begin).partition('}')[2]}" for each in examples[begin]
    ]


def _example_of(path: str, examples: Mapping[str, Sequence[object]]) -> str | None:
    """What stands before the parameter of a path, if something is known to put there."""
    before, found, after = path.partition("{")
    return before if found and "{" not in after and before in examples else None


def _examples(house: House) -> dict[str, Sequence[object]]:
    """What stands before an id → ids."""
    last = house.messages
    return {
        "/": ["no/such/page"],
        "/sign-in/": ["of-nobody"],
        "/campaigns/": [SENDING, SINGLE_CALLS, OTHERS - 1, SCHEDULED, DRAFT],
        "/messages/": [1, last // 2, last],
        "/contacts/": [1, house.contacts],
        "/contacts/imports/": [1, 150],
        "/contacts/lists/": [1, 40],
        "/contacts/segments/": [1],
        "/settings/webhooks/": [1],
        "/settings/keys/": [1],
    }


def _queries(house: House) -> dict[str, list[str]]:
    """A path → what can be asked of it beside nothing."""
    number = "number=%2B306910000050"
    deep = house.messages * 8 // 10
    explorer = [f"?status={each}" for each in (*MessageStatus, "unconfirmed")]
    explorer += [f"?reason={each}" for each in Reason]
    large = f"?campaign={SENDING}"
    asked = [large, *(f"{large}&{each[1:]}" for each in explorer), *explorer]
    asked += [f"?{number}", f"{large}&{number}", "?number=%2B306999999999", "?number=12"]
    asked += [f"{large}{more}&after={deep}" for more in ("", "&status=sent", "&status=failed")]
    asked += [f"{large}&status=queued&reason=rejected", f"{large}&status=failed&reason=expired"]
    asked += [f"?after={house.messages}", f"?campaign={OTHERS - 1}"]
    return {
        "/messages": asked,
        "/campaigns": [
            *(f"?status={each}" for each in CampaignStatus),
            f"?before={OTHERS // 2}",
            "?status=completed&before=30",
            "?q=campaign",
            "?q=nobody",
        ],
        "/contacts": [
            f"?{number}",
            "?q=%2B306910000050",
            "?q=maria",
            "?q=m",
            "?q=papadopoulos",
            "?q=nobody",
            "?list=1",
            "?list=40",
            f"?after={house.contacts * 9 // 10}",
            f"?list=1&after={house.contacts * 9 // 10}",
            "?list=1&q=maria",
        ],
        "/contacts/suppressed": ["?after=%2B306910200000", f"?{number}"],
        "/contacts/import": ["?before=50"],
        "/settings": [f"?before={house.messages // 50}"],
    }
