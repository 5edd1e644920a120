"""The secret that credentials are sealed with: it is the right one, and every process has it."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.cli.diagnosis.finding import Finding, fault, ok, warning
from paceline.cli.failures import ExitCode
from paceline.cli.session import Session
from paceline.storage import credentials
from paceline.storage.sealing import KEY_FILE, SecretError


def secret(here: Session) -> Iterator[Finding]:
    """This process can open what the database keeps sealed."""
    try:
        sealer = here.unlocked()
    except SecretError as error:
        found, _, mend = error.message.partition(". ")
        yield fault("secret", "secret_wrong", found, mend, ExitCode.CONFIGURATION)
        return
    if here.settings.secret_old is not None:
        yield _changing(resealed=here.database.read_now(credentials.is_resealed, sealer))
        return
    file = (here.settings.data_dir / KEY_FILE).absolute()
    if here.settings.secret is None and not here.database.is_sqlite:
        found = (
            f"PACELINE_SECRET is not set, so credentials are sealed with {file}, of this machine"
        )
        mend = (
            f"Give every machine what that file holds as PACELINE_SECRET, or a copy of {KEY_FILE}."
        )
        yield warning("secret", "secret_not_shared", found, mend)
        return
    used = file if here.settings.secret is None else "PACELINE_SECRET"
    yield ok("secret", f"credentials are sealed with {used}")


def _changing(*, resealed: bool) -> Finding:
    if resealed:
        found = "everything is sealed with PACELINE_SECRET, so PACELINE_SECRET_OLD opens nothing"
        return warning("secret", "secret_old_left", found, "Unset PACELINE_SECRET_OLD.")
    found = "some credentials are still sealed with PACELINE_SECRET_OLD"
    mend = "Once every process was started with both: paceline account reseal"
    return warning("secret", "secret_not_resealed", found, mend)
