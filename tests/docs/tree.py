"""The documents of the tree."""

from __future__ import annotations

import pytest

from tests.docs.examples import ROOT

_NOT_OURS = {"build", "src", "data"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in _NOT_OURS for part in path.relative_to(ROOT).parts)
)
every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
