"""The sliding window's own rules, one at a time; `test_limits_properties` has the promises."""

from __future__ import annotations

import pytest

from paceline.domain.limits import (
    Denied,
    Granted,
    Limit,
    Window,
    free,
    grant,
    just_used,
    open_at,
    restamped,
    take,
)

NOW = 1_790_000_000_000
ROOMY = (Window.EMPTY, Limit(max=1000, window_ms=1000, margin_ms=0))


def limit(permits: int, window_ms: int = 1000, margin_ms: int = 0) -> Limit:
    return Limit(permits, window_ms, margin_ms)


def filled(*grants: tuple[int, int]) -> Window:
    """A window with (milliseconds after NOW, permits)."""
    return Window(tuple((NOW + after, permits) for after, permits in grants))


def test_the_margin_widens_the_window():
    assert Limit(50, 1000, 50).span_ms == 1050


@pytest.mark.parametrize("numbers", [(0, 1000, 50), (-1, 1000, 50), (50, 0, 50), (50, 1000, -1)])
def test_a_limit_that_never_permits_anything_is_refused(numbers):
    with pytest.raises(ValueError, match="a limit permits something"):
        Limit(*numbers)


def test_a_grant_counts_until_one_span_later_and_no_longer():
    window, one = grant(Window.EMPTY, limit(1, 1000, 50), 1, NOW), limit(1, 1000, 50)
    assert free(window, one, NOW + 1049) == 0
    assert free(window, one, NOW + 1050) == 1
    assert open_at(window, one, NOW) == NOW + 1050


def test_an_empty_window_is_open_now_and_wholly_free():
    assert open_at(Window.EMPTY, limit(7), NOW) == NOW
    assert free(Window.EMPTY, limit(7), NOW) == 7


def test_a_grant_takes_no_more_than_the_fuller_window_has_free():
    granted = take((filled((-10, 3)), limit(5)), (filled((-10, 6)), limit(7)), 10, NOW)
    assert granted == Granted(
        permits=1, tenant=filled((-10, 3), (0, 1)), account=filled((-10, 6), (0, 1))
    )


@pytest.mark.parametrize("held_by", ["tenant", "account"])
def test_a_denial_changes_neither_window_and_says_who_holds(held_by):
    full = (filled((-10, 5)), limit(5))
    tenant, account = (full, ROOMY) if held_by == "tenant" else (ROOMY, full)
    denied = take(tenant, account, 1, NOW)
    assert isinstance(denied, Denied)
    assert denied.held_by == held_by
    assert denied.open_at == NOW + 990
    assert (denied.tenant, denied.account) == (tenant[0], account[0])
    remaining = {"tenant": denied.tenant_remaining, "account": denied.account_remaining}
    assert remaining.pop(held_by) == 0
    assert set(remaining.values()) == {1000}


def test_when_both_are_full_the_one_that_opens_later_holds():
    sooner, later = (filled((-500, 5)), limit(5)), (filled((-10, 5)), limit(5))
    for tenant, account, held_by in ((sooner, later, "account"), (later, sooner, "tenant")):
        denied = take(tenant, account, 1, NOW)
        assert isinstance(denied, Denied)
        assert (denied.held_by, denied.open_at) == (held_by, NOW + 990)


def test_expired_grants_leave_with_the_next_grant():
    window = grant(filled((-2000, 5), (-1000, 5), (-999, 1)), limit(50), 2, NOW)
    assert window == filled((-999, 1), (0, 2))


def test_a_lowered_limit_leaves_nothing_free_and_opens_when_enough_has_gone():
    window = filled((-900, 30), (-400, 10), (-100, 10))
    assert free(window, limit(15), NOW) == 0
    assert open_at(window, limit(15), NOW) == NOW + 600
    assert open_at(window, limit(5), NOW) == NOW + 900


def test_a_raised_limit_permits_the_difference_at_once():
    assert free(filled((-100, 50)), limit(400), NOW) == 350


def test_grants_of_one_millisecond_are_one_entry():
    window = grant(grant(Window.EMPTY, limit(50), 2, NOW), limit(50), 3, NOW)
    assert window == filled((0, 5))


def test_up_to_256_permits_every_grant_keeps_its_own_time():
    window = Window.EMPTY
    for after in range(256):
        window = grant(window, limit(256), 1, NOW + after)
    assert window == filled(*((after, 1) for after in range(256)))


def test_beyond_256_permits_a_grant_joins_its_grid_cell_at_the_later_time():
    cell = limit(257, window_ms=256 * 4)
    start = NOW - NOW % 4
    window = Window.EMPTY
    for time in (start, start + 3, start + 4):
        window = grant(window, cell, 1, time)
    assert window.grants == ((start + 3, 2), (start + 4, 1))


def test_a_large_limit_keeps_a_small_window():
    large, window = limit(10_000, 15_000, 50), Window.EMPTY
    for after in range(0, 30_000, 3):
        window = grant(window, large, 2, NOW + after)
    assert 250 < len(window.grants) <= 257
    assert len(window.encode()) < 2000


def test_grants_from_the_future_are_stamped_now():
    window = filled((-100, 1), (50, 2), (900, 3))
    assert restamped(window, NOW) == filled((-100, 1), (0, 5))
    assert grant(window, limit(50), 1, NOW) == filled((-100, 1), (0, 6))
    assert open_at(window, limit(6), NOW) == NOW + 900


def test_a_window_without_future_grants_is_left_as_it_is():
    window = filled((-100, 1), (0, 2))
    assert restamped(window, NOW) is window
    assert restamped(Window.EMPTY, NOW) is Window.EMPTY


def test_a_clock_set_back_by_an_hour_costs_one_span_and_no_more():
    full, hour = (filled((0, 5)), limit(5)), 3_600_000
    denied = take(full, ROOMY, 1, NOW - hour)
    assert isinstance(denied, Denied)
    assert denied.open_at == NOW - hour + 1000
    assert denied.tenant == filled((-hour, 5))
    assert isinstance(take((denied.tenant, limit(5)), ROOMY, 1, denied.open_at), Granted)


def test_after_a_restart_every_recorded_grant_counts_as_made_now():
    assert just_used(filled((-5000, 2), (-10, 3)), NOW) == filled((0, 5))
    assert just_used(Window.EMPTY, NOW) == Window.EMPTY


def test_a_window_is_stored_as_steps_in_time():
    assert filled((0, 3), (7, 1)).encode() == f"[{NOW},3,7,1]"
    assert Window.decode(f"[{NOW},3,7,1]") == filled((0, 3), (7, 1))


def test_an_empty_window_is_read_from_nothing_too():
    assert Window.EMPTY.encode() == "[]"
    assert Window.decode("") == Window.decode("[]") == Window.EMPTY


@pytest.mark.parametrize("text", ["[", "[1790000000000]", "nonsense"])
def test_a_spoilt_record_fails_closed(text):
    with pytest.raises(ValueError):
        Window.decode(text)
