"""How Python runs a process that must answer within milliseconds, whatever its threads do."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

_SWITCH_INTERVAL_S = 0.0005
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
_NICENESS = 5
_AUTOGROUP = Path("/proc/self/autogroup")


def keep_the_event_loop_quick() -> None:
    """Call it when everything is loaded. A permit has to be used within milliseconds, and a receipt
    waits for every statement of its commit.
    """
    # After each statement a database thread waits this long for a busy event loop, and the loop as
    # long for the thread; the default is 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # What was loaded so far stays: full collections (100 ms) need not look at it again and again.
    gc.collect()
    gc.freeze()
    # A batch is thousands of objects and no cycles: at the default of 700 Python would look through
    # them again and again while they are made, for a sixth of all its time.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def let_others_go_first() -> None:
    """Call it in a process that does nothing but send: whoever asks the API, or the database,
    should not wait for a processor behind bulk work. With the machine to itself it is as fast.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) == 0:
        os.nice(_NICENESS)
    if os.getsid(0) == os.getpid():
        # Linux shares processors among sessions first. This one has its own, so it is its
        # session's niceness that counts; in a terminal that would be everybody's there.
        with suppress(OSError):
            _AUTOGROUP.write_text(str(_NICENESS))
