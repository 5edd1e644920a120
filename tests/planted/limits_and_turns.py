"""Bugs that send more than a limit permits, or let one tenant wait for another one."""

from __future__ import annotations

from tests.planted.bug import Bug

LIMIT = "never over the limit"
FAIR = "fair"
_STORAGE = "src/paceline/storage"

BUGS = (
    Bug(
        name="fixed_window",
        promise=LIMIT,
        harm="Twice the limit goes out around the turn of a second, and the provider blocks the "
        "account.",
        file="src/paceline/domain/limits.py",
        old="    expired = now - limit.span_ms\n    return max(0",
        new="    expired = now // limit.span_ms * limit.span_ms - 1\n    return max(0",
    ),
    Bug(
        name="second_limit_not_checked",
        promise=LIMIT,
        harm="Only the account's limit holds: one tenant uses up what all others share.",
        file="src/paceline/domain/limits.py",
        old="permits = min(wanted, *left.values())",
        new='permits = min(wanted, left["account"])',
    ),
    Bug(
        name="limit_fails_open",
        promise=LIMIT,
        harm="A window that cannot be read counts as empty, and everything is sent at once.",
        file="src/paceline/domain/limits.py",
        old="        if not text:\n            return cls.EMPTY\n",
        new='        if not text.endswith("]"):\n            return cls.EMPTY\n',
    ),
    Bug(
        name="margin_not_counted",
        promise=LIMIT,
        harm="Two calls that leave a window apart arrive closer together than that.",
        file="src/paceline/domain/limits.py",
        old="return self.window_ms + self.margin_ms",
        new="return self.window_ms",
    ),
    Bug(
        name="permit_used_late",
        promise=LIMIT,
        harm="A call that was held up goes out when its permit counts no longer, together with the "
        "one that has taken its place.",
        file="src/paceline/providers/http.py",
        old="if self._endpoint.monotonic() > send_by:",
        new="if self._endpoint.monotonic() > send_by + self._endpoint.connect_timeout_s:",
    ),
    Bug(
        name="permit_lives_a_whole_margin",
        promise=LIMIT,
        harm="The half of the margin that belongs to the network is used up before the call.",
        file=f"{_STORAGE}/intents.py",
        old="valid_ms = wish.lead_ms + margin_ms // 2",
        new="valid_ms = wish.lead_ms + margin_ms",
    ),
    Bug(
        name="permits_life_begins_late",
        promise=LIMIT,
        harm="What storing a permit takes on a slow disk is added to its life.",
        file=f"{_STORAGE}/intents.py",
        old="        started = monotonic()\n        passage.spend(permitted)\n",
        new="        passage.spend(permitted)\n        started = monotonic()\n",
    ),
    Bug(
        name="grant_stamped_before_its_locks",
        promise=LIMIT,
        harm="A grant that waited for a lock is older than it looks, and leaves the window before "
        "its time.",
        file=f"{_STORAGE}/intents.py",
        old="        if wishes:\n            self.at = max(now(self.connection), self.at)\n",
        new="        if not self.at:\n            self.at = now(self.connection)\n",
    ),
    Bug(
        name="account_not_locked_by_the_intent",
        promise=LIMIT,
        harm="Two workers are granted the same last permit of an account.",
        file=f"{_STORAGE}/gate.py",
        old='    .where(traffic_accounts.c.id == bindparam("account"))\n'
        "    .with_for_update(key_share=True)\n",
        new='    .where(traffic_accounts.c.id == bindparam("account"))\n',
    ),
    Bug(
        name="use_of_a_permit_told_twice",
        promise=LIMIT,
        harm="What is told of one permit a second time moves the permit of another call.",
        file="src/paceline/engine/leads.py",
        old="return self._used.pop(account_id, [])",
        new="return self._used.get(account_id, [])",
    ),
    Bug(
        name="windows_not_spent_at_a_restart",
        promise=LIMIT,
        harm="After a restart with another clock the windows look empty, and the limit is used a "
        "second time.",
        file="src/paceline/engine/process.py",
        old="    await database.write(restart.spend_windows)\n",
        new="",
    ),
    Bug(
        name="retry_after_ignored",
        promise=LIMIT,
        harm="A provider that asks for a minute's pause is called again after a second, until it "
        "blocks the account.",
        file="src/paceline/domain/verdict.py",
        old="wait = policy.account_window_ms if asked is None else asked",
        new="wait = policy.account_window_ms",
    ),
    Bug(
        name="breaker_lets_more_than_one_through",
        promise=LIMIT,
        harm="While a provider is down, call after call meets it and each leaves a batch in doubt.",
        file=f"{_STORAGE}/turns.py",
        old="        if self.account.failures > 0:\n            statuses",
        new="        if self.account.failures > 1:\n            statuses",
    ),
    Bug(
        name="hold_ignored_at_the_gate",
        promise=LIMIT,
        harm="What waits at the gate goes on calling an account whose key was refused.",
        file=f"{_STORAGE}/intents.py",
        old="if self.account.held_at is not None:",
        new="if self.account.held_at is not None and self.account.failures:",
    ),
    Bug(
        name="turn_not_advanced",
        promise=FAIR,
        harm="The tenant with the lowest id is served until it has nothing left, and all others "
        "wait.",
        file=f"{_STORAGE}/turns.py",
        old="served(self.lane, turn, credit, cost=1)",
        new="served(self.lane, turn, credit, cost=0)",
    ),
    Bug(
        name="idle_lane_hoards",
        promise=FAIR,
        harm="A tenant that was away for a week keeps everybody else waiting for a week's worth of "
        "turns.",
        file="src/paceline/domain/fairness.py",
        old="return max(lane.pass_, turn - credit)",
        new="return max(lane.pass_, -credit)",
    ),
    Bug(
        name="one_campaign_keeps_the_lane",
        promise=FAIR,
        harm="A tenant's newer campaigns wait until its oldest one is done.",
        file=f"{_STORAGE}/turns.py",
        old="            self.last_campaign = thing\n",
        new="            self.last_campaign = None\n",
    ),
)
