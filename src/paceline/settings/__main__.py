"""Prints docs/settings.md."""

from __future__ import annotations

import sys

from paceline.settings.reference import markdown_table

sys.stdout.write(markdown_table())
