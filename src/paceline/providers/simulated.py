"""Paceline's own provider simulator: Mitto's wire, with references and look-ups beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from paceline.domain.errors import InvalidInputError
from paceline.domain.message import Delivery
from paceline.domain.outcome import Known
from paceline.domain.web_address import is_of_own_network
from paceline.providers.base import Account, Capabilities, LookUpFailedError
from paceline.providers.declared import check_look_up, read_options
from paceline.providers.lines import INTERNET, Network
from paceline.providers.look_ups import LookUps
from paceline.providers.mitto import CAPABILITIES, DELIVERIES, UNREADABLE, Mitto, key_of

LOOK_UP_PATH = "/api/v1.1/Messages"
LOOK_UPS_AT_ONCE = 10
_UNKNOWN = "UNKNOWN_MESSAGE"
_NOT_OURS = (
    "must lead into your own network for a simulator (localhost, a private address, or a name "
    "without a dot or in .internal): what it is sent must reach nobody"
)


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    """What the simulator was told to do, and how much of it."""

    deduplicates: bool = False
    looks_up: bool = False
    echoes_reference: bool = True
    max_look_ups: Annotated[int, Meta(ge=1)] = 100
    max_messages_per_call: Annotated[int, Meta(ge=1)] = CAPABILITIES.max_messages_per_call


class _Status(msgspec.Struct, rename="camel"):
    message_id: str
    delivery_status: str
    reference: str


class _Detail(msgspec.Struct):
    code: str


class _Error(msgspec.Struct):
    error: _Detail


class Simulated(Mitto):
    """Mitto with references; ``account.options`` are those of ``_Options``."""

    def __init__(self, account: Account, *, network: Network = INTERNET) -> None:
        """Check the account.

        Raises:
            InvalidInputError: its base URL, its key or one of its options cannot be used. A URL
                outside of our own network is none: there is no simulator of ours, and perhaps a
                provider whose language this is.
        """
        if not is_of_own_network(account.base_url):
            raise InvalidInputError.of("base_url", _NOT_OURS)
        super().__init__(
            account,
            self.capabilities_with(account.options),
            sends_reference=True,
            network=network,
        )
        self._look_ups = LookUps(account, LOOK_UP_PATH, key_of(account), network=network)

    @staticmethod
    def capabilities_with(options: Mapping[str, Any]) -> Capabilities:
        """What a simulator promises that was told so.

        Raises:
            InvalidInputError: an option is unknown or cannot be used.
        """
        told = read_options(_Options, options)
        return Capabilities(
            max_messages_per_call=told.max_messages_per_call,
            deduplicates=told.deduplicates,
            looks_up=told.looks_up,
            max_look_ups=told.max_look_ups if told.looks_up else 1,
            echoes_reference=told.echoes_reference,
        )

    async def look_up(self, references: Sequence[str]) -> Mapping[str, Known]:
        """Ask for one reference after the other, ten at once.

        Raises:
            LookUpFailedError: one of them was not answered, or the simulator was not told to
                answer.
        """
        check_look_up(self.capabilities, references)
        places = asyncio.Semaphore(LOOK_UPS_AT_ONCE)

        async def one(reference: str) -> Known | None:
            async with places:
                return await self._look_up_one(reference)

        try:
            async with asyncio.TaskGroup() as asking:
                answers = [asking.create_task(one(reference)) for reference in references]
        except ExceptionGroup as failed:  # the first one ended the others
            raise failed.exceptions[0] from None
        found = zip(references, (answer.result() for answer in answers), strict=True)
        return {reference: known for reference, known in found if known is not None}

    async def _look_up_one(self, reference: str) -> Known | None:
        answer = await self._look_ups.ask(
            [("reference", reference)], expected=frozenset({HTTPStatus.NOT_FOUND})
        )
        try:
            if answer.status == HTTPStatus.NOT_FOUND:
                if msgspec.json.decode(answer.body, type=_Error).error.code == _UNKNOWN:
                    return None
                # A wrong address answers 404 as well, and must not be taken for "not accepted".
                raise LookUpFailedError("404 Not Found, and not about the message")
            status = msgspec.json.decode(answer.body, type=_Status)
        except UNREADABLE as error:
            raise LookUpFailedError(f"unreadable answer: {type(error).__name__}") from error
        if status.reference != reference or not status.message_id:
            raise LookUpFailedError("the answer is about another message")
        delivery = DELIVERIES.get(status.delivery_status.lower(), Delivery.NONE)
        return Known(status.message_id, delivery)

    async def aclose(self) -> None:
        """Close the connections of both kinds."""
        await self._look_ups.aclose()
        await super().aclose()
