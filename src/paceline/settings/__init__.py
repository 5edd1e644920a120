"""Settings: the environment, parsed once into a frozen `Settings`.

A wrong value is reported with the name of the variable that was set, and all wrong values are
reported together.
"""

from __future__ import annotations

from paceline.settings.database_url import masked_database_url, sqlalchemy_url, sqlite_path
from paceline.settings.declaration import VARIABLES, Problem, Settings, Variable
from paceline.settings.environment import Checked, SettingsError, check, load
from paceline.settings.reference import Shown, describe, markdown_table

__all__ = [
    "VARIABLES",
    "Checked",
    "Problem",
    "Settings",
    "SettingsError",
    "Shown",
    "Variable",
    "check",
    "describe",
    "load",
    "markdown_table",
    "masked_database_url",
    "sqlalchemy_url",
    "sqlite_path",
]
