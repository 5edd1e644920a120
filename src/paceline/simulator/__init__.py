"""A provider to test against: Mitto's calls over real HTTP, faults on demand, and its own log.

The log is what judges the product: only the provider's side knows what it accepted.
"""

from __future__ import annotations

from paceline.simulator.controls import Controls, Limit, Receipts, StatusFault, read_controls
from paceline.simulator.log import Acceptance, Call
from paceline.simulator.server import Simulator, running, serve
from paceline.simulator.summary import Summary, summarise

__all__ = [
    "Acceptance",
    "Call",
    "Controls",
    "Limit",
    "Receipts",
    "Simulator",
    "StatusFault",
    "Summary",
    "read_controls",
    "running",
    "serve",
    "summarise",
]
