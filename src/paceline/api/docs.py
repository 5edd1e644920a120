"""``/docs``: the API's description to read and to try, without anything from elsewhere."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).with_name("static") / "docs"
_PAGE = (STATIC / "page.html").read_text(encoding="utf-8")
# Images from data: are the icons in swagger-ui.css.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def _page(_request: Request) -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


def routes() -> list[BaseRoute]:
    return [
        Route("/docs", _page, include_in_schema=False),
        Mount("/docs/static", StaticFiles(directory=STATIC)),
    ]
