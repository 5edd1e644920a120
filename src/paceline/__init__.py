"""Paceline: bulk SMS campaigns, paced to your limits, never sent twice."""

__version__ = "0.1.0"
