"""What becomes of the rest of a call that was rejected whole, by its scouts (``splitting``)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, update

from paceline.domain.message import BatchStatus, MessageStatus, Reason
from paceline.domain.verdict import Fail
from paceline.storage import counters
from paceline.storage.conclusion import conclude_alone, lock_batch
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import batches, messages
from paceline.storage.splitting import queued_ids, split_off


def after_scout(connection: Connection, scout_id: int) -> None:
    """Decide about the rest by what became of its scout; nothing to do if that is not known yet."""
    scout = connection.execute(_ROW, {"batch": scout_id}).one()
    campaign_status = counters.lock(connection, scout.campaign_id)
    rest = lock_batch(connection, scout.sibling_id)
    waits = rest.status == BatchStatus.QUEUED and rest.rejected is not None
    if scout.status != BatchStatus.DONE or not waits:
        return
    at = now(connection)
    ids = queued_ids(connection, rest.id)
    told = connection.execute(_TOLD, {"batch": scout_id}).first()
    if told is None or told.error != rest.rejected:
        _go_on_in_halves(connection, rest, ids, at)
    elif scout.rejected is None and len(ids) > 1:
        split_off(connection, rest, [ids[len(ids) * 2 // 3]], at, sibling_id=rest.id, due_at=at)
    else:
        verdict = Fail(Reason(told.reason), told.error)
        conclude_alone(connection, rest, campaign_status, verdict, at)


def _go_on_in_halves(connection: Connection, rest: AnyRow, ids: Sequence[int], at: int) -> None:
    if len(ids) > 1:
        split_off(connection, rest, ids[len(ids) // 2 :], at, due_at=at)
    connection.execute(_DUE, {"batch": rest.id, "now": at})


_ROW = select(batches).where(batches.c.id == bindparam("batch"))
_TOLD = select(messages.c.error, messages.c.reason).where(
    messages.c.batch_id == bindparam("batch"), messages.c.status == MessageStatus.FAILED
)
_DUE = (
    update(batches)
    .where(batches.c.id == bindparam("batch"))
    .values(due_at=bindparam("now"), updated_at=bindparam("now"))
)
