"""All planted bugs."""

from __future__ import annotations

from tests.planted import limits_and_turns, never_lost, never_twice, people_and_tenants, time_of_day

BUGS = (
    *never_twice.BUGS,
    *never_lost.BUGS,
    *limits_and_turns.BUGS,
    *people_and_tenants.BUGS,
    *time_of_day.BUGS,
)

FIRST_NAMES = (
    "fence_not_compared_by_record",
    "fence_not_compared_at_the_gate",
    "intent_not_committed_before_the_call",
    "no_answer_is_not_sent",
    "new_reference_on_retry",
    "doubt_forgotten_when_tries_run_out",
    "lease_expiry_requeues",
    "recording_error_repeats_the_call",
    "idempotency_key_without_the_body",
    "bisect_loses_half",
    "retry_count_off_by_one",
    "receipt_answered_before_it_is_kept",
    "late_receipt_overwrites",
    "counters_outside_the_transaction",
    "fixed_window",
    "second_limit_not_checked",
    "limit_fails_open",
    "permit_used_late",
    "hold_ignored_at_the_gate",
    "turn_not_advanced",
    "opt_out_read_only_at_launch",
    "opt_outs_of_all_tenants",
    "messages_of_all_tenants",
    "revoked_key_opens",
)
FIRST = tuple(bug for bug in BUGS if bug.name in FIRST_NAMES)
"""One for each thing that must never go wrong; the others are further ways to the same harm."""
