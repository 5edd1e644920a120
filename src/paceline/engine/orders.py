"""What people may order. API and CLI give the same orders, so all checks are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection

from paceline.clock import iso
from paceline.domain import phone
from paceline.domain.campaign import CampaignStatus, CampaignVerb, allowed_from
from paceline.domain.errors import (
    ChangedSinceError,
    InvalidInputError,
    Problem,
    SimulatorOnlyError,
    WrongStateError,
)
from paceline.engine import pace
from paceline.engine.drafts import (
    NewCampaign,
    account_for,
    campaign_values,
    refuse_past,
    sender_of,
    sender_problems,
    single_text_problems,
)
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.pace import too_early
from paceline.engine.rules import Rules
from paceline.engine.schedule import moment
from paceline.engine.waiting import Waiting, waiting_for
from paceline.settings import Settings
from paceline.storage import (
    accounts,
    audit_log,
    campaigns,
    doubt,
    idempotency,
    launches,
    messages,
    standings,
)
from paceline.storage.database import AnyRow, Database
from paceline.storage.doubt import Decision
from paceline.storage.idempotency import Once
from paceline.storage.standings import Standing


@dataclass(frozen=True, slots=True)
class Shown:
    """A campaign's row and what it waits for, of one snapshot."""

    campaign: AnyRow
    waiting_for: Waiting | None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What enqueueing wrote so far; a paused campaign goes on and nothing is written."""

    campaign_id: int
    created: int
    batches: int


class Orders:
    """Checks an order, carries it out, and wakes the worker when that gives it something to do.

    Every method may raise ``DatabaseUnreachableError``. Where ``once`` is taken, the order is
    carried out once under its key, or raises ``AnsweredBefore`` or ``KeyReusedError``.
    """

    def __init__(self, database: Database, settings: Settings, *, wake: Callable[[], None]) -> None:
        self.database = database
        self.settings = settings
        self.rules = Rules.of(settings)
        self.wake = wake
        self.actor = audit_log.SYSTEM
        self.test = False
        self.erased_numbers = ErasedNumbers.of(settings)

    def by(
        self, actor: str | None = None, *, test: bool = False, database: Database | None = None
    ) -> Self:
        """The same, given by somebody.

        Args:
            actor: who, for the audit log; None: as before.
            test: they may reach nobody but the simulator.
            database: as they see it; None: as before.
        """
        theirs = copy(self)
        theirs.actor = actor or self.actor
        theirs.test = test
        theirs.database = database or self.database
        return theirs

    async def create_campaign(
        self, tenant_id: int, new: NewCampaign, *, once: Once | None = None
    ) -> Shown:
        """Make a draft, or a scheduled campaign when ``scheduled_at`` is given.

        Raises:
            InvalidInputError: with every fault of the description.
        """
        values = await self.database.read(
            campaign_values,
            tenant_id,
            new,
            max_parts=self.settings.max_parts,
            public_url=self.settings.public_url,
            test=self.test,
        )

        def create(connection: Connection) -> Shown:
            campaign = campaigns.create(connection, tenant_id, **values, actor=self.actor)
            return self.shown(standings.of(connection, tenant_id, campaign.id))

        shown = await self.database.write(idempotency.run, tenant_id, once, create)
        self.wake()
        return shown

    async def enqueue(
        self,
        tenant_id: int,
        campaign_id: int,
        *,
        start_by: str | None = None,
        unchanged_since: str | None = None,
        once: Once | None = None,
    ) -> Enqueued:
        """Start a draft or scheduled campaign, or let a paused one go on.

        Args:
            tenant_id: whose it is.
            campaign_id: which.
            start_by: the order is not meant any more after this moment; a paused one has started.
            unchanged_since: the order is meant for the campaign as it was at this moment, the
                ``updated_at`` of what somebody has looked at; a paused one is as it started.
            once: the order's key.

        Raises:
            NotFoundError: this tenant has no such campaign.
            WrongStateError: it is none of the three.
            EmptyAudienceError: nobody may be sent to; it stays as it was.
            TooLateError: its ``start_by`` or the order's has passed; it stays as it was.
            ChangedSinceError: it was changed after ``unchanged_since``; it stays as it is.
            InvalidInputError: a time cannot be read.
        """
        by = None if start_by is None else moment(start_by, None, where="start_by")
        since = _seen_at(unchanged_since)
        enqueued = await self.database.write(
            idempotency.run, tenant_id, once, self._enqueue, tenant_id, campaign_id, by, since
        )
        self.wake()
        return enqueued

    async def schedule(
        self,
        tenant_id: int,
        campaign_id: int,
        scheduled_at: str,
        timezone: str | None = None,
        start_by: str | None = None,
        *,
        unchanged_since: str | None = None,
    ) -> Shown:
        """Set the time at which a campaign starts, and the latest at which it may if need be.
        ``unchanged_since``: as in ``enqueue``.

        Raises:
            NotFoundError: this tenant has no such campaign.
            WrongStateError: it is neither draft nor scheduled.
            ChangedSinceError: it was changed after ``unchanged_since``; it stays as it is.
            InvalidInputError: a time cannot be read, or it has passed.
        """
        at = moment(scheduled_at, timezone)
        latest = None if start_by is None else moment(start_by, timezone, where="start_by")
        since = _seen_at(unchanged_since)

        def change(connection: Connection) -> Standing:
            self.may_touch(connection, tenant_id, campaign_id)
            campaign = campaigns.lock_for(connection, tenant_id, campaign_id, CampaignVerb.SCHEDULE)
            _refuse_changed(campaign, since)
            refuse_past(connection, at)
            if problems := tuple(too_early(connection, latest, at)):
                raise InvalidInputError("The campaign cannot start so.", problems)
            return self._changed(
                connection,
                tenant_id,
                campaign_id,
                CampaignVerb.SCHEDULE,
                scheduled_at=at,
                timezone=timezone,
                start_by=latest,
            )

        shown = self.shown(await self.database.write(change))
        self.wake()
        return shown

    async def unschedule(self, tenant_id: int, campaign_id: int) -> Shown:
        """Make a scheduled campaign a draft again."""
        return await self._change(
            tenant_id,
            campaign_id,
            CampaignVerb.UNSCHEDULE,
            scheduled_at=None,
            timezone=None,
            start_by=None,
        )

    async def change(self, tenant_id: int, campaign_id: int, given: Mapping[str, Any]) -> Shown:
        """Change how a campaign is sent (``pace.FIELDS``), also while it is.

        Raises:
            NotFoundError: this tenant has no such campaign.
            WrongStateError: it is over.
            InvalidInputError: with every fault; nothing is changed.
        """

        def change(connection: Connection) -> Standing:
            self.may_touch(connection, tenant_id, campaign_id)
            pace.change(connection, tenant_id, campaign_id, given)
            campaigns.log(connection, tenant_id, campaign_id, "change", self.actor, **given)
            return standings.of(connection, tenant_id, campaign_id)

        shown = self.shown(await self.database.write(change))
        self.wake()
        return shown

    async def pause(self, tenant_id: int, campaign_id: int) -> Shown:
        """Write no new intent for a campaign; calls in flight finish."""
        return await self._change(tenant_id, campaign_id, CampaignVerb.PAUSE)

    async def resume(self, tenant_id: int, campaign_id: int) -> Shown:
        """Let a paused campaign go on."""
        return await self._change(tenant_id, campaign_id, CampaignVerb.RESUME)

    async def cancel(self, tenant_id: int, campaign_id: int) -> Shown:
        """Give a campaign up: what is queued and not in doubt fails as ``cancelled``."""

        def cancel(connection: Connection) -> None:
            self.may_touch(connection, tenant_id, campaign_id)
            campaigns.cancel(connection, tenant_id, campaign_id, actor=self.actor)

        await self.database.write(cancel)
        while await self.database.write(campaigns.sweep_cancelled, campaign_id):
            pass
        self.wake()
        return await self.campaign(tenant_id, campaign_id)

    async def campaign(self, tenant_id: int, campaign_id: int) -> Shown:
        """One campaign.

        Raises:
            NotFoundError: this tenant has none with this id.
        """
        return self.shown(await self.database.glance(standings.of, tenant_id, campaign_id))

    async def campaigns(
        self,
        tenant_id: int,
        *,
        before: int | None = None,
        limit: int = 50,
        status: CampaignStatus | None = None,
        name: str | None = None,
    ) -> list[Shown]:
        """A tenant's campaigns; arguments as ``storage.campaigns.page``."""
        found = await self.database.read(
            standings.page, tenant_id, before=before, limit=limit, status=status, name=name
        )
        return [self.shown(standing) for standing in found]

    async def decide(self, tenant_id: int, campaign_id: int, decision: Decision) -> int:
        """Settle a campaign's unconfirmed messages; return how many there were.

        Raises:
            NotFoundError: this tenant has no such campaign.
            ConflictError: a resend is asked for and it is cancelled.
        """
        concerned = 0
        await self.database.read(self.may_touch, tenant_id, campaign_id)
        for batch_id in await self.database.read(doubt.undecided, tenant_id, campaign_id):
            concerned += await self._decide(batch_id, decision)
        self.wake()
        return concerned

    async def decide_single(self, tenant_id: int, message_id: int, decision: Decision) -> int:
        """Settle one unconfirmed message that has no campaign; 0: it is not unconfirmed.

        Raises:
            NotFoundError: this tenant has no such message.
        """
        batch_id = await self.database.read(standings.unconfirmed_batch, tenant_id, message_id)
        if self.test and not await self.database.read(
            accounts.message_is_simulated, tenant_id, message_id
        ):
            raise SimulatorOnlyError(f"message {message_id}")
        if batch_id is None:
            return 0
        concerned = await self._decide(batch_id, decision)
        self.wake()
        return concerned

    async def _decide(self, batch_id: int, decision: Decision) -> int:
        return await self.database.write(
            doubt.decide, batch_id, decision, actor=self.actor, policy_of=self.rules.policy_of
        )

    async def send(
        self,
        tenant_id: int,
        *,
        to: str,
        text: str,
        sender: str | None = None,
        traffic_account_id: int | None = None,
        respect_quiet_hours: bool = False,
        once: Once | None = None,
    ) -> AnyRow:
        """Queue one message without a campaign; return its row as ``messages.get`` gives it. Unless
        it is to ``respect_quiet_hours`` it goes at any time: it is mostly what somebody waits for.

        Raises:
            InvalidInputError: with every fault, a suppressed number among them.
        """
        number, problems = self._number("to", to)
        account, faults = await self.database.read(
            account_for, tenant_id, traffic_account_id, test=self.test
        )
        if not sender:
            sender = await self.database.read(sender_of, tenant_id, account)
        problems += [*faults, *single_text_problems(text, self.settings.max_parts)]
        if account:
            problems += sender_problems(account.provider, sender)
        if problems or account is None:
            raise InvalidInputError("The message cannot be sent.", tuple(problems))
        account_id = account.id

        def queue(connection: Connection) -> AnyRow:
            self.erased_numbers.refuse(connection, tenant_id, number, where="to")
            message_id = messages.add_single(
                connection,
                tenant_id,
                to=number,
                text=text,
                sender=sender,
                account_id=account_id,
                respect_quiet_hours=respect_quiet_hours,
            )
            return messages.get(connection, tenant_id, message_id)

        message = await self.database.write(idempotency.run, tenant_id, once, queue)
        self.wake()
        return message

    def _number(self, where: str, written: str) -> tuple[str, list[Problem]]:
        try:
            return phone.parse(written, self.settings.default_country), []
        except phone.PhoneError as error:
            return "", [Problem(where, error.reason)]

    async def _change(
        self, tenant_id: int, campaign_id: int, verb: CampaignVerb, **values: Any
    ) -> Shown:
        standing = await self.database.write(self._changed, tenant_id, campaign_id, verb, **values)
        self.wake()
        return self.shown(standing)

    def _enqueue(
        self,
        connection: Connection,
        tenant_id: int,
        campaign_id: int,
        by: int | None,
        since: int | None,
    ) -> Enqueued:
        self.may_touch(connection, tenant_id, campaign_id)
        status = campaigns.get(connection, tenant_id, campaign_id).status
        startable = allowed_from(CampaignVerb.START)
        if status == CampaignStatus.PAUSED:
            self._changed(connection, tenant_id, campaign_id, CampaignVerb.RESUME)
            return Enqueued(campaign_id, created=0, batches=0)
        if status not in startable:
            raise WrongStateError("start", status, (*startable, CampaignStatus.PAUSED))
        _refuse_changed(launches.lock_to_start(connection, tenant_id, campaign_id), since)
        self.may_touch(connection, tenant_id, campaign_id)  # it may have got another account
        batch_size = self.rules.batch_size_on(accounts.of_campaign(connection, campaign_id))
        launched = launches.start(
            connection,
            tenant_id,
            campaign_id,
            batch_size=batch_size,
            chunk=self.rules.launch_chunk,
            actor=self.actor,
            by=by,
        )
        return Enqueued(campaign_id, launched.created, launched.batches)

    def _changed(
        self,
        connection: Connection,
        /,
        tenant_id: int,
        campaign_id: int,
        verb: CampaignVerb,
        **values: Any,
    ) -> Standing:
        self.may_touch(connection, tenant_id, campaign_id)
        campaigns.change(connection, tenant_id, campaign_id, verb, actor=self.actor, **values)
        return standings.of(connection, tenant_id, campaign_id)

    def may_touch(self, connection: Connection, tenant_id: int, campaign_id: int) -> None:
        """Keep tests away from campaigns that reach people.

        Raises:
            NotFoundError: this tenant has no such campaign.
            SimulatorOnlyError: these are a test's orders, and the campaign is none.
        """
        if not self.test:
            return
        campaigns.get(connection, tenant_id, campaign_id)
        if not accounts.is_simulated(accounts.of_campaign(connection, campaign_id)):
            raise SimulatorOnlyError(f"campaign {campaign_id}")

    def shown(self, standing: Standing) -> Shown:
        return Shown(standing.campaign, waiting_for(standing, self.rules.pacing))


def _seen_at(unchanged_since: str | None) -> int | None:
    if unchanged_since is None:
        return None
    return moment(unchanged_since, None, where="unchanged_since")


def _refuse_changed(campaign: AnyRow, since: int | None) -> None:
    if since is not None and campaign.updated_at > since:
        raise ChangedSinceError(
            f"This campaign was changed at {iso(campaign.updated_at)}, after {iso(since)}. Look at "
            "it again, then repeat the order with its new updated_at."
        )
