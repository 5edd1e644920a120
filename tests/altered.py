"""Bodies that providers post, with some of their parts left out or exchanged for odd ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from hypothesis import strategies as st

_ODD = [
    "",
    "\0",
    "\ud800",
    "Delivered",
    "2026-12-01T09:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "99999999999999999999",
    10**18,
    10**400,
    -(10**400),
    1e308,
    float("inf"),
    float("nan"),
]
_leaves = st.one_of(
    st.sampled_from(_ODD), st.none(), st.booleans(), st.integers(), st.floats(), st.text()
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn, bodies: Sequence[bytes]) -> bytes:
    """One of these bodies, each JSON or a form, altered here and there."""
    body = draw(st.sampled_from(bodies))
    try:
        document = json.loads(body)
    except ValueError:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        kept = {name: text for name, text in form.items() if draw(st.integers(0, 9))}
        odd = {name: draw(st.text()) for name in kept if draw(st.integers(0, 4)) == 0}
        return urlencode({**kept, **odd}, errors="replace").encode()
    text = json.dumps(_altered(draw, document), ensure_ascii=draw(st.booleans()))
    return text.encode(errors="surrogatepass")


def _altered(draw: st.DrawFn, node: Any) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(_values)
    if isinstance(node, list):
        return [_altered(draw, each) for each in node]
    if isinstance(node, dict):
        kept = [name for name in node if draw(st.integers(0, 9))]
        return {name: _altered(draw, node[name]) for name in kept}
    return node
