"""Replies: each is kept for the tenant it is for, and STOP, START and HELP are done at once.

All of it is one transaction, the one that the webhook's answer waits for: when the provider is told
that we have a STOP, no intent that is committed from then on contains the number, but for the one
confirmation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from paceline.domain import phone
from paceline.domain.keywords import Keyword, Keywords
from paceline.engine.drafts import sender_problems, single_text_problems
from paceline.providers.base import Reply
from paceline.settings import Settings
from paceline.storage import accounts, inbound_numbers, messages, replies, suppressions
from paceline.storage.audit_log import RECIPIENT
from paceline.storage.database import Database
from paceline.storage.suppressions import Source
from paceline.telemetry import get_logger

log = get_logger("replies")

_STANDARD_ANSWERS = {
    Keyword.STOP: "You will get no more messages from {tenant}.",
    Keyword.START: "You will get messages from {tenant} again.",
    Keyword.HELP: "These messages are from {tenant}. To get no more of them, reply {stop}.",
}
"""For tenants that have said nothing else; theirs are ``tenants.stop_reply`` and so on."""


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """How this process understands and answers replies."""

    keywords: Keywords
    max_parts: int
    """Of an answer."""

    @classmethod
    def of(cls, settings: Settings) -> ReplyRules:
        keywords = Keywords.of(
            stop=settings.stop_words, start=settings.start_words, help=settings.help_words
        )
        return cls(keywords, settings.max_parts)


@dataclass(slots=True)
class Taken:
    """What became of the replies of one request."""

    done: list[tuple[int, Keyword]] = field(default_factory=list)
    """(tenant, keyword) of what was asked for and changed or answered something."""
    nobodys: int = 0
    answers: int = 0
    """Messages that were queued."""
    unusable: list[tuple[int, str]] = field(default_factory=list)
    """(tenant, what is wrong) of answers that could not be queued."""


class ReplyIntake:
    """Takes replies in, and tells the log and the worker what came of them."""

    def __init__(self, database: Database, settings: Settings, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._rules = ReplyRules.of(settings)
        self._wake = wake

    async def keep(self, account_id: int, arrived: Sequence[Reply], body: bytes) -> None:
        """Return when the replies of one request are committed, with all that follows from them.

        Args:
            account_id: the traffic account that they came through.
            arrived: as the adapter read them.
            body: what it read them from.

        Raises:
            DatabaseUnreachableError: they are not, as far as we know.
        """
        if not arrived:
            return
        taken = await self._database.write(take, account_id, arrived, body, self._rules)
        for tenant_id, keyword in taken.done:
            log.info("reply_done", tenant_id=tenant_id, keyword=keyword.value)
        for _ in range(taken.nobodys):
            log.warning("reply_of_nobody", traffic_account_id=account_id)
        for tenant_id, why in taken.unusable:
            log.warning("answer_unusable", tenant_id=tenant_id, error=why)
        if taken.answers:
            self._wake()


def take(
    connection: Connection,
    account_id: int,
    arrived: Sequence[Reply],
    body: bytes,
    rules: ReplyRules,
) -> Taken:
    """Keep replies and do what they ask for: the body of one transaction.

    Tenants are locked in the order of their ids; within one, replies keep theirs.
    """
    taken = Taken()
    incoming = [
        _Incoming.of(reply, _key(reply, body, position), rules.keywords)
        for position, reply in enumerate(arrived)
    ]
    owned = [
        (inbound_numbers.whose(connection, account_id, each.number), each) for each in incoming
    ]
    for tenant_id, reply in sorted(owned, key=lambda each: each[0] or 0):
        is_new = replies.keep(connection, account_id, tenant_id, **reply.columns())
        if tenant_id is None:
            taken.nobodys += is_new
        elif reply.keyword is not None and (is_new or reply.counts_again):
            _Desk(connection, account_id, tenant_id, reply, rules, taken).obey(reply.keyword)
    return taken


class _Incoming(NamedTuple):
    """One reply, as it is stored."""

    key: str
    phone: str
    number: str
    text: str
    keyword: Keyword | None
    counts_again: bool
    """A STOP that nothing tells from an earlier one: perhaps there was a START between them. Done
    again it changes nothing, or what the person wants."""

    @classmethod
    def of(cls, reply: Reply, key: str, keywords: Keywords) -> _Incoming:
        try:
            writer, keyword = phone.parse(_stored(reply.phone), None), keywords.meant_by(reply.text)
        except phone.PhoneError:
            # Not a person's number, such as a short code: nothing could be sent to it, and who
            # answers machines has them answer back.
            writer, keyword = _stored(reply.phone)[: replies.LONGEST_PHONE], None
        return cls(
            key,
            writer,
            _stored(reply.number)[: replies.LONGEST_NUMBER],
            _stored(reply.text),
            keyword,
            keyword is Keyword.STOP and not reply.provider_message_id,
        )

    def columns(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "phone": self.phone,
            "number": self.number,
            "text": self.text,
            "keyword": self.keyword,
        }


def _key(reply: Reply, body: bytes, position: int) -> str:
    """What tells a reply from all others: the provider's id. Without one it is the body that it
    came in: a provider that repeats a webhook repeats its bytes, and those of two replies differ at
    least in their times. Number, text and minute would drop the second of two that agree, and keep
    a repeat that comes late.
    """
    if reply.provider_message_id:
        return _stored(reply.provider_message_id)[: replies.LONGEST_ID]
    return f"sha256:{hashlib.sha256(body).hexdigest()}:{position}"


def _stored(text: str) -> str:
    """Without what the database's text cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


class _Desk:
    """Does what one reply asks for, under the lock of its tenant."""

    def __init__(
        self,
        connection: Connection,
        account_id: int,
        tenant_id: int,
        reply: _Incoming,
        rules: ReplyRules,
        taken: Taken,
    ) -> None:
        self._connection = connection
        self._account = accounts.get(connection, account_id)
        self._tenant = replies.lock_tenant(connection, tenant_id)
        self._reply = reply
        self._rules = rules
        self._taken = taken

    def obey(self, keyword: Keyword) -> None:
        done = {Keyword.STOP: self._stop, Keyword.START: self._start, Keyword.HELP: self._help}
        if done[keyword]():
            self._taken.done.append((self._tenant.id, keyword))

    def _stop(self) -> bool:
        """Suppress the number, and confirm it once.

        The confirmation is queued before the number is suppressed, as nothing can be queued to it
        afterwards, and is then said to heed all opt-outs up to this one. Nobody sees the moment in
        between, and no other message gets past.
        """
        tenant_id, number = self._tenant.id, self._reply.phone
        if self._is_suppressed():
            return False
        confirmation = self._answer(Keyword.STOP)
        suppressions.add(
            self._connection,
            tenant_id,
            [number],
            "replied STOP",
            source=Source.STOP,
            actor=RECIPIENT,
        )
        if confirmation is not None:
            replies.let_through(self._connection, tenant_id, confirmation)
        return True

    def _start(self) -> bool:
        """End what a STOP began, and nothing else."""
        if not suppressions.end_stop(self._connection, self._tenant.id, self._reply.phone):
            return False
        self._answer(Keyword.START)
        return True

    def _help(self) -> bool:
        """Answer who may be written to."""
        return not self._is_suppressed() and self._answer(Keyword.HELP) is not None

    def _is_suppressed(self) -> bool:
        return suppressions.exists(self._connection, self._tenant.id, self._reply.phone)

    def _answer(self, keyword: Keyword) -> int | None:
        """Queue the tenant's answer, unless it has none or has given it lately; its message id."""
        tenant_id, number = self._tenant.id, self._reply.phone
        text = self._text(keyword)
        if not text or replies.asked_lately(self._connection, tenant_id, number, keyword):
            return None
        sender = self._sender()
        if wrong := self._problem(text, sender):
            self._taken.unusable.append((tenant_id, wrong))
            return None
        self._taken.answers += 1
        return messages.add_single(
            self._connection,
            tenant_id,
            to=number,
            text=text,
            sender=sender,
            account_id=self._account.id,
        )

    def _text(self, keyword: Keyword) -> str:
        own: str | None = getattr(self._tenant, f"{keyword}_reply")
        if own is not None:
            return own
        return _STANDARD_ANSWERS[keyword].format(
            tenant=self._tenant.name, stop=self._rules.keywords.stop_word
        )

    def _sender(self) -> str:
        """The number that the person wrote to, if it can be a sender; else the account's."""
        asked = self._reply.number
        usable = asked and not any(sender_problems(self._account.provider, asked))
        return asked if usable else str(self._account.sender)

    def _problem(self, text: str, sender: str) -> str | None:
        """What would be wrong with an answer: nothing that cannot be sent is queued."""
        problems = [
            *single_text_problems(text, self._rules.max_parts),
            *sender_problems(self._account.provider, sender),
        ]
        return f"{problems[0].where}: {problems[0].reason}" if problems else None
