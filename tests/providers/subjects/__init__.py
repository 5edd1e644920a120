"""The providers that the conformance suite is run over: one table of cases each."""

from __future__ import annotations

from .infobip import INFOBIP
from .mitto import MITTO
from .simulator import SIMULATOR
from .twilio import TWILIO

SUBJECTS = [INFOBIP, MITTO, SIMULATOR, TWILIO]
