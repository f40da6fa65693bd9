from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.hours import HoursSettings, hours_sentence, is_open, opens_at, waits_sentence

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = HoursSettings(windows=("20:00-06:00",))


def at(text: str, zone: ZoneInfo | None = None) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC)


def test_without_windows_it_is_always_open() -> None:
    assert opens_at(HoursSettings(), at("2026-11-24T12:00")) is None
    assert hours_sentence(HoursSettings()) == "at any time"


@pytest.mark.parametrize(
    ("time", "opens"),
    [
        ("2026-11-24T20:00", None),
        ("2026-11-24T23:59", None),
        ("2026-11-25T05:59:59", None),
        ("2026-11-25T06:00", "2026-11-25T20:00"),
        ("2026-11-24T19:59:30", "2026-11-24T20:00"),
    ],
)
def test_a_window_over_midnight_ends_in_the_morning(time: str, opens: str | None) -> None:
    assert opens_at(NIGHTS, at(time)) == (opens and at(opens))


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    hours = HoursSettings(windows=("fri 22:00-04:00", "sat-sun 00:00-24:00"))
    # 2026-11-27 is a Friday.
    assert opens_at(hours, at("2026-11-27T03:00")) == at("2026-11-27T22:00")
    assert is_open(hours, at("2026-11-28T03:00"))
    assert is_open(hours, at("2026-11-29T23:59"))
    assert opens_at(hours, at("2026-11-30T00:00")) == at("2026-12-04T22:00")


def test_days_may_wrap_around_the_week() -> None:
    hours = HoursSettings(windows=("sat-mon 10:00-11:00",))
    open_days = [day for day in range(23, 30) if is_open(hours, at(f"2026-11-{day}T10:30"))]
    assert open_days == [23, 28, 29], "Monday, Saturday, Sunday"


def test_the_wall_clock_decides_where_daylight_saving_skips_an_hour() -> None:
    # Berlin goes from 02:00 to 03:00 on 2026-03-29.
    skipped = HoursSettings(windows=("02:00-03:00",), timezone="Europe/Berlin")
    assert opens_at(skipped, at("2026-03-29T00:30", BERLIN)) == at("2026-03-30T02:00", BERLIN)
    partly = HoursSettings(windows=("02:30-04:00",), timezone="Europe/Berlin")
    assert opens_at(partly, at("2026-03-29T00:30", BERLIN)) == at("2026-03-29T03:00", BERLIN)
    once = HoursSettings(windows=("sun 02:15-02:45",), timezone="Europe/Berlin")
    assert opens_at(once, at("2026-03-22T12:00", BERLIN)) == at("2026-04-05T02:15", BERLIN)


def test_the_wall_clock_decides_where_daylight_saving_repeats_an_hour() -> None:
    # Berlin has 02:00 to 03:00 twice on 2026-10-25: at 00:00 and 01:00 UTC.
    hours = HoursSettings(windows=("02:00-02:30",), timezone="Europe/Berlin")
    open_minutes = [
        minute for minute in range(0, 180, 15) if is_open(hours, at("2026-10-25T00:00") + timedelta(minutes=minute))
    ]
    assert open_minutes == [0, 15, 60, 75]


WINDOWS = st.tuples(
    st.sampled_from(["", "mon ", "sat-sun ", "fri-mon "]), st.integers(0, 1439), st.integers(0, 1439)
).filter(lambda one: one[1] != one[2])


@given(
    st.lists(WINDOWS, min_size=1, max_size=3),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)
def test_it_opens_in_the_first_minute_that_is_open(windows: list, timezone: str, moment: datetime) -> None:
    texts = tuple(f"{days}{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for days, a, b in windows)
    hours = HoursSettings(windows=texts, timezone=timezone)
    opens = opens_at(hours, moment)
    if opens is None:
        assert is_open(hours, moment)
        return
    assert moment < opens
    assert is_open(hours, opens)
    assert not is_open(hours, opens - timedelta(seconds=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": ["20-06"]},
        {"windows": ["20:00-20:00"]},
        {"windows": ["24:00-06:00"]},
        {"windows": ["Monday 20:00-06:00"]},
        {"windows": ["20:60-21:00"]},
        {"timezone": "Europe/Nowhere"},
        {"timezone": "../../etc/passwd"},
        {"timezone": "/etc/localtime"},
    ],
)
def test_what_is_no_window_or_time_zone_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        HoursSettings.model_validate(wrong)


def test_it_is_said_as_people_read_it() -> None:
    assert hours_sentence(
        HoursSettings(windows=("20:00-06:00", "sat-sun 00:00-24:00"), timezone="Europe/Istanbul")
    ) == ("20:00-06:00, sat-sun 00:00-24:00 (Europe/Istanbul)")
    assert (
        waits_sentence(at("2026-11-24T20:00"), "the site") == "waits until 2026-11-24 20:00 UTC: the site's own hours"
    )
