"""Bugs that send a message twice: lost fences, forgotten doubt, references that change."""

from __future__ import annotations

from tests.planted.bug import Bug

TWICE = "never twice"
_STORAGE = "src/paceline/storage"

BUGS = (
    Bug(
        name="fence_not_compared_by_record",
        promise=TWICE,
        harm="The late answer to an older call settles a newer one, whose own answer is ignored: "
        "a 429 from back then queues again what is being sent at this moment.",
        file=f"{_STORAGE}/outcomes.py",
        old="return waits and bool(batch.fence == sent.fence)",
        new="return waits and bool(batch.fence >= sent.fence)",
    ),
    Bug(
        name="fence_not_compared_at_the_gate",
        promise=TWICE,
        harm="A worker that slept past its lease sends a batch that another one has taken over.",
        file=f"{_STORAGE}/intents.py",
        old="if fences.get(wish.batch.id) != wish.batch.fence:",
        new="if wish.batch.id not in fences:",
    ),
    Bug(
        name="intent_not_committed_before_the_call",
        promise=TWICE,
        harm="The call leaves no trace of its own before it is made, and after a crash it is made "
        "again.",
        file="src/paceline/engine/dispatch.py",
        old="        return await self.database.write(\n            intents.intend,",
        new="        return await self.database.read(\n            intents.intend,",
    ),
    Bug(
        name="no_answer_is_not_sent",
        promise=TWICE,
        harm="A call whose answer does not come in time is made again, though the provider has "
        "accepted it.",
        file="src/paceline/providers/http.py",
        old="        return await self._exchange(line, written)",
        new="        told = await self._exchange(line, written)\n"
        "        return NotSent(told.error) if isinstance(told, NoAnswer) else told",
    ),
    Bug(
        name="server_timeout_is_a_rejection",
        promise=TWICE,
        harm="A 408 is taken for proof that nothing was accepted, and a batch that was is taken "
        "apart and sent again in pieces.",
        file="src/paceline/providers/answers.py",
        old="_REJECTIONS = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT}",
        new="_REJECTIONS = frozenset(range(400, 500))",
    ),
    Bug(
        name="new_reference_on_retry",
        promise=TWICE,
        harm="A provider that deduplicates does not know the second call for the first one again.",
        file=f"{_STORAGE}/conclusion.py",
        old='"generation_after": batch.generation + verdict.new_generation,',
        new='"generation_after": batch.generation + 1,',
    ),
    Bug(
        name="new_reference_while_in_doubt",
        promise=TWICE,
        harm="A 429 to the second call gives a third one a new reference, while the first may have "
        "been accepted under the old one.",
        file="src/paceline/domain/verdict.py",
        old="new_generation=new_generation and not tries.in_doubt,",
        new="new_generation=new_generation,",
    ),
    Bug(
        name="doubt_forgotten_when_tries_run_out",
        promise=TWICE,
        harm="What may have arrived is called failed, and whoever reads that writes to the person "
        "again.",
        file="src/paceline/domain/verdict.py",
        old="return Doubt(error) if tries.in_doubt else Fail(reason, error)",
        new="return Fail(reason, error)",
    ),
    Bug(
        name="older_doubt_ended_by_a_newer_answer",
        promise=TWICE,
        harm="The rejection of a second call is taken for proof about the first one, which went "
        "unanswered and may have arrived.",
        file=f"{_STORAGE}/outcomes.py",
        old="attempts.c.outcome.in_((OutcomeKind.NO_ANSWER, OutcomeKind.SERVER_ERROR)),",
        new="attempts.c.outcome == OutcomeKind.SERVER_ERROR,",
    ),
    Bug(
        name="lease_expiry_requeues",
        promise=TWICE,
        harm="A worker is slow to record an answer, and another one makes the call again.",
        file=f"{_STORAGE}/outcomes.py",
        old="    if batch.status == BatchStatus.SUBMITTING:\n",
        new="    if batch.status == BatchStatus.SUBMITTING and all_of_them:\n",
    ),
    Bug(
        name="recording_error_repeats_the_call",
        promise=TWICE,
        harm="An answer that cannot be written down has the call made again.",
        file=f"{_STORAGE}/outcomes.py",
        old="BatchStatus.SUBMITTING: Doubt(error),",
        new="BatchStatus.SUBMITTING: GiveBack(error),",
    ),
    Bug(
        name="horizon_forgotten_by_the_verdict",
        promise=TWICE,
        harm="A batch is sent again after the provider has forgotten the references that it would "
        "have known it by.",
        file="src/paceline/domain/verdict.py",
        old="    return policy.deduplicates and not _forgotten(tries, policy)",
        new="    return policy.deduplicates",
    ),
    Bug(
        name="horizon_not_told_to_the_gate",
        promise=TWICE,
        harm="A batch in doubt waits at the gate for its permit until the provider has forgotten "
        "its references, and is sent then.",
        file="src/paceline/engine/dispatch.py",
        old="wish = Wish(batch, size, self._leads.ms(), horizon)",
        new="wish = Wish(batch, size, self._leads.ms())",
    ),
    Bug(
        name="asks_before_the_quiet_period",
        promise=TWICE,
        harm="The provider is asked before it knows what it has accepted a moment ago, says "
        "unknown, and gets it again.",
        file="src/paceline/domain/verdict.py",
        old="return Doubt(outcome.error, policy.confirm_window_ms if asks else None)",
        new="return Doubt(outcome.error, 0 if asks else None)",
    ),
    Bug(
        name="asks_for_the_first_reference",
        promise=TWICE,
        harm="After a 429 the provider is asked for references that it never accepted, says "
        "unknown, and everybody gets the message again.",
        file=f"{_STORAGE}/confirmations.py",
        old="known_by = {reference(prefix, message_id, row.generation): message_id "
        "for message_id in ids}",
        new="known_by = {reference(prefix, message_id, 0): message_id for message_id in ids}",
    ),
    Bug(
        name="operator_resends_before_the_provider_is_asked",
        promise=TWICE,
        harm="An operator presses the button a minute too early, and people get a second SMS that "
        "asking would have spared them.",
        file=f"{_STORAGE}/doubt.py",
        old="if policy.looks_up and batch.confirm_at is not None:",
        new="if policy.looks_up and batch.confirm_at is None:",
    ),
    Bug(
        name="answer_from_before_a_restore_counts",
        promise=TWICE,
        harm="After a backup was put back, an answer that is older than it queues again what was "
        "sent in between.",
        file=f"{_STORAGE}/restart.py",
        old="fence=batches.c.fence + 1,",
        new="fence=batches.c.fence,",
    ),
    Bug(
        name="references_survive_a_restore",
        promise="never lost",
        harm="New messages get references that the provider has seen for others, and are dropped "
        "as duplicates.",
        file=f"{_STORAGE}/restart.py",
        old="connection.execute(update(installation).values(prefix=secrets.token_hex(4)))",
        new="connection.execute(update(installation).values(prefix=installation.c.prefix))",
    ),
    Bug(
        name="sqlite_forgets_commits",
        promise=TWICE,
        harm="A power cut forgets an intent that was committed, and the batch is sent again.",
        file=f"{_STORAGE}/database.py",
        old='"synchronous=FULL",',
        new='"synchronous=NORMAL",',
    ),
    Bug(
        name="two_senders_on_sqlite",
        promise=TWICE,
        harm="A second process takes what the first one is sending for left over.",
        file="src/paceline/engine/process.py",
        old="fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        new="fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)",
    ),
    Bug(
        name="idempotency_key_without_the_body",
        promise="never lost",
        harm="A second message under a key that was used by mistake gets the first one's answer, "
        "and is never sent.",
        file="src/paceline/api/context.py",
        old='what = f"{request.method} {request.url.path}?{request.url.query}\\n{body_digest}"',
        new='what = f"{request.method} {request.url.path}?{request.url.query}"',
    ),
)
