"""The dashboard's routes, to be served beside the API's."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.routing import BaseRoute

from paceline.engine.orders import Orders
from paceline.engine.watched import Watched
from paceline.settings import Settings
from paceline.storage.database import Database
from paceline.storage.sealing import Sealer
from paceline.web.pages import (
    accounts,
    campaigns,
    contacts,
    drafting,
    imports,
    keys,
    lists,
    messages,
    nowhere,
    overview,
    prices,
    queue,
    resending,
    segments,
    signing,
    suppressed,
)
from paceline.web.pages import settings as settings_page
from paceline.web.site import Site, static

CONTACT_FILES = ("/contacts/preview", "/contacts/import", "/campaigns/compose")
PRICE_FILES = ("/settings/prices",)
"""Pages whose forms bring files: they take as much as the API's own."""


def routes(
    database: Database,
    settings: Settings,
    sealer: Sealer,
    orders: Orders,
    watched: Watched,
    worker_state: Callable[[], str | None] | None = None,
) -> list[BaseRoute]:
    """All pages, and the files that they need.

    Args:
        database: with the newest schema.
        settings: of this process.
        sealer: opens what is sealed.
        orders: gives orders; others get their own in their name.
        watched: the readings of campaigns, which are shared with the API.
        worker_state: says what is wrong with the worker of this process, None while it is well; no
            function: there is no worker in it.
    """
    site = Site(database, settings, sealer, orders, watched, worker_state, time.monotonic)
    return [static(), *(route for pages in _PAGES for route in pages.routes(site))]


_PAGES = (
    signing,
    overview,
    drafting,
    resending,
    campaigns,
    contacts,
    imports,
    lists,
    segments,
    suppressed,
    messages,
    accounts,
    queue,
    settings_page,
    keys,
    prices,
    nowhere,
)
