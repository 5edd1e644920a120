"""The engine's rules, worked out from the settings once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from paceline.domain.limits import Limit
from paceline.domain.retry import RetryPolicy
from paceline.domain.verdict import Policy, ServerErrorPolicy, UnconfirmedPolicy
from paceline.providers import capabilities_of
from paceline.settings import Settings
from paceline.storage.limits import Pacing, Strategy, limit_of


@dataclass(frozen=True, slots=True)
class Rules:
    """How this process paces, retries and doubts."""

    pacing: Pacing
    policy: Policy
    provider_timeout_ms: int
    lease_ms: int
    batch_size: int
    concurrency: int
    launch_chunk: int | None = None
    """Contacts in a chunk of a launch; None: as many as are good for the database."""

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        margin = settings.rate_limit_margin_ms
        return cls(
            pacing=Pacing(
                tenant=Limit(
                    settings.rate_limit_tenant_max, settings.rate_limit_tenant_window_ms, margin
                ),
                account=Limit(
                    settings.rate_limit_traffic_account_max,
                    settings.rate_limit_traffic_account_window_ms,
                    margin,
                ),
                strategy=Strategy(settings.rate_limit_strategy),
            ),
            policy=Policy(
                retry=RetryPolicy(settings.queue_attempts, settings.queue_backoff_ms),
                unconfirmed=UnconfirmedPolicy(settings.unconfirmed_policy),
                rate_limit_retry=settings.rate_limit_retry_enabled,
                confirm_window_ms=settings.confirm_window_ms,
            ),
            provider_timeout_ms=settings.provider_timeout_ms,
            lease_ms=settings.provider_timeout_ms + settings.lease_slack_ms,
            batch_size=settings.sms_batch_size,
            concurrency=settings.worker_concurrency,
        )

    def policy_of(self, account: Any) -> Policy:
        """The policy on one account, from its row: what its operator says and what its provider
        can do.

        Raises:
            InvalidInputError: the row names an unknown provider.
        """
        capabilities = capabilities_of(account.provider, account.options)
        return replace(
            self.policy,
            server_error=ServerErrorPolicy(account.server_error),
            deduplicates=capabilities.deduplicates,
            dedupe_horizon_ms=capabilities.dedupe_horizon_ms,
            looks_up=capabilities.looks_up,
            account_window_ms=limit_of(account, self.pacing.account).window_ms,
        )

    def batch_size_on(self, account: Any) -> int:
        """Messages in a batch on one account: no more than its provider takes in a call."""
        capabilities = capabilities_of(account.provider, account.options)
        return min(self.batch_size, capabilities.max_messages_per_call)
