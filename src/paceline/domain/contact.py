"""What a contact may hold, wherever it comes from: the API, a file, or a merge of both."""

from __future__ import annotations

from typing import Final

MAX_ATTRIBUTES: Final = 100
"""Attributes of one contact."""
MAX_VALUE: Final = 1_000
"""Characters of a name or of an attribute's value."""
OWN_FIELDS: Final = frozenset({"phone", "first_name", "last_name"})
"""What a contact has beside its attributes."""
TOO_MANY: Final = f"would have more than {MAX_ATTRIBUTES} attributes"
