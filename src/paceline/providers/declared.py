"""Holding an adapter to what it declares, and an account to the options that its adapter knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from paceline.domain.errors import InvalidInputError
from paceline.providers.base import Capabilities, LookUpFailedError, OutgoingMessage

Options = TypeVar("Options", bound=msgspec.Struct)


def read_options(kind: type[Options], options: Mapping[str, Any]) -> Options:
    """Read an account's options as the structure in which an adapter declares its own.

    Raises:
        InvalidInputError: one is unknown or has a value that cannot be used; it is named.
    """
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        raise InvalidInputError.of("options", str(error)) from error


def check_call(capabilities: Capabilities, messages: Sequence[OutgoingMessage]) -> None:
    """Refuse a call that is larger than declared.

    Raises:
        ValueError: whoever cut the batch did not look.
    """
    if len(messages) > capabilities.max_messages_per_call:
        raise ValueError(
            f"{len(messages)} messages, at most {capabilities.max_messages_per_call} in a call"
        )


def cannot_be_asked() -> LookUpFailedError:
    """What a look-up ends with where there is none. It tells nothing: an empty answer would say
    that nothing was accepted.
    """
    return LookUpFailedError("this provider cannot be asked by our reference")


def check_look_up(capabilities: Capabilities, references: Sequence[str]) -> None:
    """Refuse a look-up that the provider cannot answer.

    Raises:
        LookUpFailedError: it answers none.
        ValueError: it asks for more references than declared.
    """
    if not capabilities.looks_up:
        raise cannot_be_asked()
    if len(references) > capabilities.max_look_ups:
        raise ValueError(f"{len(references)} references, at most {capabilities.max_look_ups}")
