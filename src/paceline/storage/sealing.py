"""Secrets at rest: what providers and webhook endpoints trust us with is stored sealed.

The key comes from ``PACELINE_SECRET``; without it from a file that is made in the data folder, so
that nothing has to be set up. A database alone, a dump or a backup, then opens no account.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from paceline.domain.errors import PacelineError
from paceline.settings import Settings

KEY_FILE = "secret.key"
"""In the data folder; readable by its owner alone."""
_SEALED = "sealed:1:"
"""Begins what is sealed. The number rises with the way it is done; what has no such beginning is
from before there were seals, and plain."""
_KEY_BYTES = 32


class SecretError(PacelineError):
    """PACELINE_SECRET is not the one that something was sealed with, or cannot be had."""

    code = "secret"


class Sealer:
    """Seals short texts with a key that is derived from a secret.

    A seal is authenticated encryption (Fernet: AES-128-CBC and HMAC-SHA256), and no two seals of a
    text are alike.

    Args:
        secret: what new seals and derived keys are made from; random, as it is not stretched.
        old: the secret before it, whose seals can still be opened.
    """

    def __init__(self, secret: str, old: str | None = None) -> None:
        self._secret = secret
        self._old = old
        given = [secret] if old is None else [secret, old]
        self._fernet = MultiFernet([_fernet(each) for each in given])

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, text: str) -> str:
        """Make ``text`` unreadable to who has not the secret."""
        return _SEALED + self._fernet.encrypt(text.encode()).decode("ascii")

    def open(self, text: str) -> str:
        """Read a sealed text; what was stored before there were seals is returned as it is.

        Raises:
            SecretError: it was sealed with another secret, or changed since.
        """
        if not is_sealed(text):
            return text
        try:
            return self._fernet.decrypt(text.removeprefix(_SEALED)).decode()
        except InvalidToken:
            raise SecretError(
                "A stored credential cannot be opened with this PACELINE_SECRET. Give every "
                "process the same one, or put the one before into PACELINE_SECRET_OLD."
            ) from None

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one purpose, such as to sign links; the same for the same secret."""
        return _derived(self._secret, purpose)

    def all_derived(self, purpose: str) -> list[bytes]:
        """As ``derived``, and after it that of the secret before, if it is given."""
        given = [self._secret] if self._old is None else [self._secret, self._old]
        return [_derived(secret, purpose) for secret in given]

    @property
    def fingerprint(self) -> str:
        """Tells this secret from any other, and tells nothing else about it."""
        return _fingerprint(self._secret)

    @property
    def old_fingerprint(self) -> str | None:
        """The fingerprint of the secret before it."""
        return None if self._old is None else _fingerprint(self._old)


def is_sealed(text: str) -> bool:
    return text.startswith(_SEALED)


def sealer_of(settings: Settings) -> Sealer:
    """The sealer of an installation: by ``PACELINE_SECRET``, else by the key file, made if there is
    none.

    Raises:
        SecretError: there is no secret, and the file cannot be read or made.
    """
    secret = settings.secret
    if secret is None:
        secret = _kept_in(settings.data_dir / KEY_FILE)
    return Sealer(secret, settings.secret_old)


def _kept_in(path: Path) -> str:
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise SecretError(
            f"{path}, which credentials are sealed with, cannot be read or made: {why}. "
            "Set PACELINE_SECRET, or PACELINE_DATA_DIR to a folder that can be written to."
        ) from error
    if not secret:
        raise SecretError(f"{path} is empty. Put it back from a backup, or set PACELINE_SECRET.")
    return secret


def _make(path: Path) -> None:
    """Write a new secret. Of two processes that begin at once, one makes the file and both use it:
    it appears whole, by a link that fails if it is there, and outlives a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as draft:
        draft.write(secrets.token_urlsafe(_KEY_BYTES) + "\n")
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)
        except FileExistsError:
            return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _fernet(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(_derived(secret, "credentials")))


def _fingerprint(secret: str) -> str:
    return hmac.new(_derived(secret, "fingerprint"), b"paceline", hashlib.sha256).hexdigest()


def _derived(secret: str, purpose: str) -> bytes:
    """A key of its own for each purpose (HKDF, RFC 5869), so that none gives away another."""
    info = f"paceline/{purpose}".encode()
    hkdf = HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=info)
    return hkdf.derive(secret.encode())
