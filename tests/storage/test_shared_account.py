"""An account that tenants share has one window for all of them."""

from __future__ import annotations

import pytest

from paceline.storage import accounts, intents
from paceline.storage.wishes import Wait
from tests.storage.test_races import PATIENCE_S, intent, race  # noqa: F401 - the fixture

pytestmark = pytest.mark.parametrize("database", ["postgres"], indirect=True)


def test_two_tenants_at_once_never_share_the_last_permit_of_their_account(world, race):  # noqa: F811
    world.sending(3)
    world.sending(3, tenant=world.tenant("rival"))
    first, second = world.reservation(2).batches
    assert first.tenant_id != second.tenant_id
    world.write(accounts.change, world.main, {"rate_max": 1})
    with race.held(intents.intend, **intent(world, first)):
        late = race.run(intents.intend, **intent(world, second))
        race.until_blocked(late)
    (wait,) = late.result(PATIENCE_S)
    assert isinstance(wait, Wait)
    assert (wait.denied.held_by, wait.for_ms) == ("account", 1050)
    assert world.grants()[1] == f"[{world.now},1]"
