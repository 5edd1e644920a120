"""The sliding window's own rules, one at a time; `test_limits_properties` has the promises."""

from __future__ import annotations

import pytest

from paceline.domain.limits import (
    LONGEST_LEAD_MS,
    MAX_EXACT,
    Denied,
    Granted,
    Limit,
    Window,
    free,
    grant,
    just_used,
    moved,
    open_at,
    restamped,
    take,
)

NOW = 1_790_000_000_000
ROOMY = (Window.EMPTY, Limit(max=1000, window_ms=1000, margin_ms=0))


def limit(permits: int, window_ms: int = 1000, margin_ms: int = 0) -> Limit:
    return Limit(permits, window_ms, margin_ms)


def filled(*grants: tuple[int, int], forgotten: int | None = None) -> Window:
    """A window with (milliseconds after NOW, permits)."""
    return Window(
        tuple((NOW + after, permits) for after, permits in grants),
        0 if forgotten is None else NOW + forgotten,
    )


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


def test_a_campaigns_own_window_is_taken_from_with_the_others_or_none_is():
    full = (filled((-10, 5)), limit(5))
    denied = take(ROOMY, ROOMY, 1, NOW, campaign=full)
    assert isinstance(denied, Denied)
    assert (denied.held_by, denied.open_at, denied.campaign) == ("campaign", NOW + 990, full[0])
    granted = take(ROOMY, ROOMY, 9, NOW, campaign=(filled((-10, 3)), limit(5)))
    assert isinstance(granted, Granted)
    assert (granted.permits, granted.campaign) == (2, filled((-10, 3), (0, 2)))
    denied = take(full, ROOMY, 1, NOW, campaign=(Window.EMPTY, limit(5)))
    assert isinstance(denied, Denied)
    assert (denied.held_by, denied.campaign) == ("tenant", Window.EMPTY)


def test_several_permits_are_free_when_as_many_grants_have_gone():
    window = filled((-900, 1), (-400, 2), (-100, 1))
    opens = [open_at(window, limit(5), NOW, permits) for permits in (1, 2, 3, 4, 5)]
    assert opens == [NOW, NOW + 100, NOW + 600, NOW + 600, NOW + 900]


def test_expired_grants_leave_with_the_next_grant():
    window = grant(filled((-2000, 5), (-1000, 5), (-999, 1)), limit(50), 2, NOW)
    assert window == filled((-999, 1), (0, 2), forgotten=-1000)


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


def test_a_large_limit_stamped_ahead_keeps_a_window_of_twice_the_size_at_most():
    for window_ms in (1, 200, 950, 15_000):
        large, window = limit(10**6, window_ms, 50), Window.EMPTY
        for step in range(4 * MAX_EXACT):
            now = NOW + step * large.span_ms // MAX_EXACT
            for lead in (LONGEST_LEAD_MS, 0, step % LONGEST_LEAD_MS):
                window = grant(window, large, 2, now, lead)
            window = moved(window, large, now + LONGEST_LEAD_MS, now + step % 7)
            assert len(window.grants) <= 2 * MAX_EXACT + 1
        assert len(window.encode()) < 4000


# --- stamped ahead


def test_a_grant_stamped_ahead_counts_from_its_stamp_on():
    window, one = grant(Window.EMPTY, limit(1), 1, NOW, lead=200), limit(1)
    assert window == filled((200, 1))
    assert free(window, one, NOW + 1199) == 0
    assert free(window, one, NOW + 1200) == 1
    assert open_at(window, one, NOW) == NOW + 1200


def test_permits_of_both_windows_are_stamped_ahead_alike():
    granted = take((filled((50, 1)), limit(5)), ROOMY, 2, NOW, lead=80)
    assert granted == Granted(2, tenant=filled((50, 1), (80, 2)), account=filled((80, 2)))


@pytest.mark.parametrize("lead", [-1, LONGEST_LEAD_MS + 1])
def test_a_lead_that_would_be_restamped_is_refused(lead):
    with pytest.raises(ValueError, match="stamped 0 to 250 ms ahead"):
        take(ROOMY, ROOMY, 1, NOW, lead)


def test_grants_lie_by_their_stamps_in_whatever_order_they_came():
    window = Window.EMPTY
    for lead in (200, 0, 100, 100, 200):
        window = grant(window, limit(50), 1, NOW, lead)
    assert window == filled((0, 1), (100, 2), (200, 2))


@pytest.mark.parametrize(
    ("stamps", "kept"),
    [
        ((0, 3), ((3, 2),)),
        ((3, 0), ((3, 2),)),
        ((4, 0, 8), ((0, 1), (4, 1), (8, 1))),
        ((5, 9, 7, 4), ((7, 3), (9, 1))),
    ],
)
def test_beyond_256_permits_stamps_of_one_cell_join_at_the_later_time_in_any_order(stamps, kept):
    cell = limit(257, window_ms=256 * 4)
    start = NOW - NOW % 4
    window = Window.EMPTY
    for after in stamps:
        window = grant(window, cell, 1, start, lead=after)
    assert window.grants == tuple((start + after, permits) for after, permits in kept)


# --- moved to where they were used


def test_a_permit_used_before_its_stamp_is_free_a_span_after_its_use():
    window, two = filled((-5, 1), (200, 1)), limit(2)
    assert moved(window, two, NOW + 200, NOW + 10) == filled((-5, 1), (10, 1))
    assert open_at(moved(window, two, NOW + 200, NOW - 20), two, NOW) == NOW + 980


def test_of_permits_with_one_stamp_one_is_moved():
    window = filled((10, 1), (200, 3))
    assert moved(window, limit(9), NOW + 200, NOW + 10) == filled((10, 2), (200, 2))


@pytest.mark.parametrize("used", [200, 201, 225])
def test_a_permit_used_at_its_stamp_or_a_little_later_stays(used):
    window = filled((200, 1))
    assert moved(window, limit(9), NOW + 200, NOW + used) is window


@pytest.mark.parametrize("maximum", [5, 500])
def test_a_permit_that_is_no_longer_there_is_not_moved(maximum):
    window = filled((100, 1), (200, 1), forgotten=99)
    for stamp in (99, 150, 201):
        assert moved(window, limit(maximum), NOW + stamp, NOW) is window
    assert moved(Window.EMPTY, limit(maximum), NOW + 200, NOW) is Window.EMPTY


def test_in_a_cell_the_first_entry_from_the_stamp_on_gives_the_permit():
    """Two entries of a cell are of a time when the limit was smaller."""
    cell = limit(257, window_ms=256 * 40)
    start = NOW - NOW % 40
    window = Window(((start + 5, 1), (start + 20, 2), (start + 30, 1), (start + 41, 1)))
    assert moved(window, cell, start + 10, start - 60).grants == (
        (start - 60, 1),
        (start + 5, 1),
        (start + 20, 1),
        (start + 30, 1),
        (start + 41, 1),
    )
    assert moved(window, cell, start + 35, start) is window


def test_a_permit_moved_into_a_cell_joins_it_at_the_later_time():
    cell = limit(257, window_ms=256 * 4)
    start = NOW - NOW % 4
    window = Window(((start + 2, 1), (start + 200, 2)))
    assert moved(window, cell, start + 199, start + 1) is window
    assert moved(window, cell, start + 200, start + 1).grants == ((start + 2, 2), (start + 200, 1))
    assert moved(window, cell, start + 200, start + 3).grants == ((start + 3, 2), (start + 200, 1))


# --- the clock was set back


def test_grants_from_beyond_the_longest_lead_are_stamped_there():
    window = filled((-100, 1), (250, 2), (251, 1), (900, 3))
    stamped = filled((-100, 1), (250, 6), forgotten=900)
    assert restamped(window, NOW) == stamped
    assert restamped(stamped, NOW) is stamped
    assert grant(window, limit(50), 1, NOW) == filled((-100, 1), (0, 1), (250, 6), forgotten=900)
    assert open_at(window, limit(7), NOW) == NOW + 900
    assert open_at(window, limit(6), NOW) == NOW + 1250


def test_grants_up_to_the_longest_lead_ahead_are_left_as_they_are():
    window = filled((-100, 1), (LONGEST_LEAD_MS, 2))
    assert restamped(window, NOW) is window
    assert restamped(Window.EMPTY, NOW) is Window.EMPTY


def test_a_clock_set_back_by_an_hour_costs_one_span_and_a_lead_and_no_more():
    full, hour = (filled((0, 5)), limit(5)), 3_600_000
    denied = take(full, ROOMY, 1, NOW - hour)
    assert isinstance(denied, Denied)
    assert denied.open_at == NOW - hour + 1250
    assert denied.tenant == filled((250 - hour, 5), forgotten=0)
    assert isinstance(take((denied.tenant, limit(5)), ROOMY, 1, denied.open_at), Granted)


@pytest.mark.parametrize("maximum", [5, 500])
def test_whose_grant_was_restamped_cannot_move_another_one_with_the_same_stamp(maximum):
    """The clock is set back by 100 ms, so that a second grant gets the stamp of the first."""
    window = grant(Window.EMPTY, limit(maximum), 1, NOW + 100, lead=250)
    window = grant(window, limit(maximum), 1, NOW, lead=0)
    window = grant(window, limit(maximum), 1, NOW + 100, lead=250)
    assert window.grants[-2:] == ((NOW + 250, 1), (NOW + 350, 1))
    assert moved(window, limit(maximum), NOW + 350, NOW + 110) is window


@pytest.mark.parametrize("maximum", [5, 500])
def test_whose_grant_has_expired_cannot_move_another_one_with_the_same_stamp(maximum):
    """The clock is set back by more than a span, after which nobody remembers the first grant."""
    short = limit(maximum, 20)
    window = grant(Window.EMPTY, short, 1, NOW, lead=5)
    window = grant(window, short, 1, NOW + 25)
    window = grant(window, short, 1, NOW, lead=5)
    assert window == filled((5, 1), (25, 1), forgotten=5)
    assert moved(window, short, NOW + 5, NOW + 1) is window


def test_whose_grant_has_expired_cannot_move_another_one_that_came_into_its_cell():
    cell = limit(257, window_ms=256 * 40)
    start = NOW - NOW % 40
    window = grant(Window.EMPTY, cell, 1, start, lead=10)
    window = grant(window, cell, 1, start, lead=100)
    window = grant(window, cell, 1, start + 10 + cell.span_ms)
    window = moved(window, cell, start + 100, start + 20)
    assert window.grants == ((start + 20, 1), (start + 10 + cell.span_ms, 1))
    assert moved(window, cell, start + 10, start + 1) is window


def test_after_a_restart_every_recorded_grant_counts_as_used_now():
    window = filled((-5000, 2), (-10, 3), (200, 1), forgotten=-6000)
    assert just_used(window, NOW) == filled((0, 6))
    assert just_used(Window.EMPTY, NOW) == Window.EMPTY


def test_a_window_is_stored_as_steps_in_time():
    assert filled((0, 3), (7, 1)).encode() == f"[{NOW},3,7,1]"
    assert Window.decode(f"[{NOW},3,7,1]") == filled((0, 3), (7, 1))


def test_the_time_up_to_which_grants_are_forgotten_is_stored_as_a_grant_of_nothing():
    window = filled((3, 1), (203, 2), forgotten=-1000)
    assert window.encode() == f"[{NOW - 1000},0,1003,1,200,2]"
    assert Window.decode(window.encode()) == window
    set_back = filled((3, 1), forgotten=900)
    assert set_back.encode() == f"[{NOW + 900},0,-897,1]"
    assert Window.decode(set_back.encode()) == set_back


def test_an_empty_window_is_read_from_nothing_too():
    assert Window.EMPTY.encode() == "[]"
    assert Window.decode("") == Window.decode("[]") == Window.EMPTY


@pytest.mark.parametrize("text", ["[", "[1790000000000]", "nonsense"])
def test_a_spoilt_record_fails_closed(text):
    with pytest.raises(ValueError):
        Window.decode(text)
