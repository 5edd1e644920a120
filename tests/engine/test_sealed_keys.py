"""A worker that cannot open an account's key sends nothing with it, and fails nobody's message."""

from __future__ import annotations

from paceline.storage import accounts
from paceline.storage.sealing import Sealer
from tests.acceptance.world import world


async def test_a_key_that_cannot_be_opened_holds_the_account_until_it_is_mended(
    database_url: str,
) -> None:
    ours, others = Sealer("the secret of this machine"), Sealer("the secret of another one")
    async with world(database_url, SMS_BATCH_SIZE="5") as w:
        w.worker.adapters.sealer = ours
        await w.database.write(accounts.change, w.account_id, {"api_key": others.seal("key")})
        campaign_id = await w.started(20)
        status = await w.until(
            campaign_id,
            lambda seen: (seen["campaign"]["waiting_for"] or {}).get("cause") == "account_held",
        )
        assert status["metrics"]["queued"] == 20
        assert w.provider().calls == 0
        await w.database.write(accounts.change, w.account_id, {"api_key": ours.seal("key")})
        await w.database.write(accounts.release, w.account_id)
        assert (await w.completed(campaign_id))["metrics"]["sent"] == 20
