"""The dashboard's routes, to be served beside the API's."""

from __future__ import annotations

import time

from starlette.routing import BaseRoute

from paceline.engine.orders import Orders
from paceline.settings import Settings
from paceline.storage.database import Database
from paceline.storage.sealing import Sealer
from paceline.web.pages import (
    accounts,
    campaigns,
    contacts,
    drafting,
    messages,
    nowhere,
    overview,
    queue,
    signing,
)
from paceline.web.pages import settings as settings_page
from paceline.web.site import Site, static


def routes(
    database: Database, settings: Settings, sealer: Sealer, orders: Orders
) -> list[BaseRoute]:
    """All pages, and the files that they need."""
    site = Site(database, settings, sealer, orders, time.monotonic)
    return [static(), *(route for pages in _PAGES for route in pages.routes(site))]


_PAGES = (
    signing,
    overview,
    drafting,
    campaigns,
    contacts,
    messages,
    accounts,
    queue,
    settings_page,
    nowhere,
)
