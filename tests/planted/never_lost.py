"""Bugs that lose a message, an answer or a receipt, or tell a number that is not true."""

from __future__ import annotations

from tests.planted.bug import Bug

LOST = "never lost"
NUMBERS = "numbers that are true"
_STORAGE = "src/paceline/storage"

BUGS = (
    Bug(
        name="cancel_fails_what_is_in_doubt",
        promise=LOST,
        harm="Messages of a cancelled campaign that may have arrived are called failed.",
        file=f"{_STORAGE}/conclusion.py",
        old="if batch.in_doubt or (isinstance(verdict, Retry) and verdict.in_doubt):",
        new="if isinstance(verdict, Retry) and verdict.in_doubt:",
    ),
    Bug(
        name="sweep_ends_batches_in_doubt",
        promise=LOST,
        harm="What is in doubt in a cancelled campaign is in a batch that is over, so nobody can "
        "decide about it ever.",
        file=f"{_STORAGE}/campaigns.py",
        old="certain = [row.id for row in chosen if not row.in_doubt]",
        new="certain = [row.id for row in chosen]",
    ),
    Bug(
        name="completed_while_launching",
        promise=LOST,
        harm="A campaign whose first chunk is sent is completed, and the rest of its audience is "
        "written into a campaign that is over.",
        file=f"{_STORAGE}/counters.py",
        old="    campaigns.c.launching.is_(False),\n",
        new="",
    ),
    Bug(
        name="short_chunk_ends_the_launch",
        promise=LOST,
        harm="One suppressed contact among five thousand ends the launch: everybody behind the "
        "first chunk is forgotten.",
        file=f"{_STORAGE}/launches.py",
        old="    _advance(connection, campaign_id, cursor, finished=finished)\n",
        new="    finished = created < chunk\n"
        "    _advance(connection, campaign_id, cursor, finished=finished)\n",
    ),
    Bug(
        name="bisect_loses_half",
        promise=LOST,
        harm="Half of a call that was too large stays submitting without anybody who submits it.",
        file=f"{_STORAGE}/splitting.py",
        old="ids[len(ids) // 2 :], at, **fresh)",
        new="ids[len(ids) // 2 :], at, due_at=at)",
    ),
    Bug(
        name="scout_of_its_own_fault_condemns_the_rest",
        promise=LOST,
        harm="Two wrong numbers among the recipients of a call that was rejected for its sender "
        "fail everybody with words that are about them alone.",
        file=f"{_STORAGE}/scouts.py",
        old="if told is None or told.error != rest.rejected:",
        new="if told is None:",
    ),
    Bug(
        name="expired_reservations_forgotten",
        promise=LOST,
        harm="What a worker had rendered when it died is never sent.",
        file=f"{_STORAGE}/doubt.py",
        old="_IN_HAND = (BatchStatus.RESERVED, BatchStatus.SUBMITTING)",
        new="_IN_HAND = (BatchStatus.SUBMITTING,)",
    ),
    Bug(
        name="reference_kept_after_a_429",
        promise=LOST,
        harm="A provider that remembers the references of what it turned away takes the next try "
        "for a duplicate, and says accepted.",
        file="src/paceline/domain/verdict.py",
        old="new_generation=isinstance(outcome, Throttled),",
        new="new_generation=False,",
    ),
    Bug(
        name="one_try_too_many",
        promise=LOST,
        harm="A message that should have failed after five tries is tried a sixth time, most of a "
        "minute later.",
        file="src/paceline/domain/retry.py",
        old="return failed_tries >= self.attempts",
        new="return failed_tries > self.attempts",
    ),
    Bug(
        name="retry_count_off_by_one",
        promise=NUMBERS,
        harm="A message that is being tried for the second time is shown as tried once.",
        file=f"{_STORAGE}/conclusion.py",
        old='"retry_count_after": tries,',
        new='"retry_count_after": tries - 1,',
    ),
    Bug(
        name="void_permit_is_a_try",
        promise=LOST,
        harm="On a busy machine messages fail after five tries of which none was made.",
        file=f"{_STORAGE}/outcomes.py",
        old="        status=BatchStatus.RESERVED,\n        fence=batches.c.fence + 1,\n",
        new="        status=BatchStatus.RESERVED,\n        fence=batches.c.fence + 1,\n"
        "        tries=batches.c.tries + 1,\n",
    ),
    Bug(
        name="answer_thrown_away",
        promise=LOST,
        harm="The database is away for a second while an answer comes: what was accepted stays "
        "unconfirmed.",
        file="src/paceline/engine/dispatch.py",
        old='                log.warning("recording_failed", batch_id=attempt.batch.id, '
        "error=str(error))\n",
        new='                log.warning("recording_failed", batch_id=attempt.batch.id, '
        "error=str(error))\n                raise\n",
    ),
    Bug(
        name="receipt_answered_before_it_is_kept",
        promise=LOST,
        harm="A receipt is acknowledged and then lost with the process; the provider does not "
        "send it again.",
        file="src/paceline/engine/intake.py",
        old="        await kept\n",
        new="        await asyncio.sleep(0)\n",
    ),
    Bug(
        name="early_receipts_thrown_away",
        promise=LOST,
        harm="Receipts that overtake their answer are deleted: what was delivered is never shown "
        "as that.",
        file=f"{_STORAGE}/receipts.py",
        old='    connection.execute(_DELETE, {"ids": matched})\n',
        new='    connection.execute(_DELETE, {"ids": [row.id for row in taken]})\n',
    ),
    Bug(
        name="late_receipt_overwrites",
        promise=NUMBERS,
        harm="A failure that comes after the delivery, as they do, makes an SMS that somebody has "
        "read undelivered.",
        file=f"{_STORAGE}/receipts.py",
        old="report = _best(was, reports.get((account_id, provider_id), Delivery.NONE))",
        new="report = reports.get((account_id, provider_id), was)",
    ),
    Bug(
        name="doubtful_rejection_counts_as_sent",
        promise=NUMBERS,
        harm="A message that the provider has just rejected is counted as sent.",
        file=f"{_STORAGE}/conclusion.py",
        old="        statement = statement.where(messages.c.id.not_in(undecided))\n",
        new="        statement = statement.where(messages.c.id.in_(message_ids))\n",
    ),
    Bug(
        name="counters_outside_the_transaction",
        promise=NUMBERS,
        harm="A process that is killed at the wrong moment leaves messages that are sent in a "
        "campaign that does not count them, and never completes.",
        file=f"{_STORAGE}/outcomes.py",
        old="    conclusions.write(connection, at)\n    if told",
        new='    connection.exec_driver_sql("COMMIT")\n'
        "    conclusions.write(connection, at)\n    if told",
    ),
    Bug(
        name="read_of_two_moments",
        promise=NUMBERS,
        harm="Figures of one answer are of different moments, and do not add up.",
        file=f"{_STORAGE}/database.py",
        old='isolation_level="REPEATABLE READ"',
        new='isolation_level="READ COMMITTED"',
    ),
    Bug(
        name="batch_locked_before_its_campaign",
        promise=LOST,
        harm="An expiry and a record wait for each other for a second, in which nobody else can "
        "send, and one of them is undone.",
        file=f"{_STORAGE}/outcomes.py",
        old="    campaign_status = counters.lock(connection, campaign_id)\n"
        "    batch = lock_batch(connection, batch_id)\n",
        new="    batch = lock_batch(connection, batch_id)\n"
        "    campaign_status = counters.lock(connection, campaign_id)\n",
    ),
    Bug(
        name="cancel_does_not_wait_for_intents",
        promise="stopped is stopped",
        harm="A campaign is cancelled, and a call of it is made after that.",
        file=f"{_STORAGE}/campaigns.py",
        old="row = connection.execute(query.with_for_update()).first()",
        new="row = connection.execute(query.with_for_update(key_share=True)).first()",
    ),
)
