"""Off-peak hours: windows of the week by the wall clock of one time zone.

The wall clock alone decides: an hour that daylight saving skips is skipped, and one that it repeats counts twice.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from core.clock import text_of
from core.config import Section

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(DAYS)
_WINDOW = re.compile(rf"(?:({_DAY})(?:-({_DAY}))? )?([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")
_MINUTE = timedelta(minutes=1)
# A window of one day a week, on the day on which daylight saving skips it.
_LONGEST_WAIT = 15 * 24 * 60


class HoursSettings(Section):
    """When something may be done; at any time where there are no windows."""

    windows: tuple[str, ...] = Field((), max_length=50, description='as "20:00-06:00" or "sat-sun 00:00-24:00"')
    timezone: str = Field("UTC", pattern=r"^[A-Za-z0-9_+/-]{1,64}$", description="as Europe/Istanbul")

    @field_validator("windows")
    @classmethod
    def _are_windows(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        for window in windows:
            _, start, end = _parsed(window)
            if start == end:
                raise ValueError("a window that ends as it begins is none; the whole day is 00:00-24:00")
        return windows

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            _zone(timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError("this machine knows no such time zone (Debian's package tzdata has them)") from None
        return timezone


def is_open(hours: HoursSettings, moment: datetime) -> bool:
    """Say whether a moment lies in a window; always, where there are none.

    Args:
        hours: the windows.
        moment: with its time zone.
    """
    if not hours.windows:
        return True
    local = moment.astimezone(_zone(hours.timezone))
    return any(_holds(window, local.weekday(), 60 * local.hour + local.minute) for window in hours.windows)


def opens_at(hours: HoursSettings, moment: datetime) -> datetime | None:
    """Return when the next window begins, in UTC; None where a moment lies in one."""
    if is_open(hours, moment):
        return None
    after = moment.astimezone(UTC).replace(second=0, microsecond=0)
    for _ in range(_LONGEST_WAIT):
        after += _MINUTE
        if is_open(hours, after):
            return after
    raise AssertionError("every window comes within two weeks")


def hours_sentence(hours: HoursSettings) -> str:
    """Say when, as people read it."""
    return f"{', '.join(hours.windows)} ({hours.timezone})" if hours.windows else "at any time"


def waits_sentence(opens: datetime, whose: str) -> str:
    """Say until when something waits, and for whose hours: `the site` or `the study`."""
    return f"waits until {text_of(opens)[:16].replace('T', ' ')} UTC: {whose}'s own hours"


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _holds(window: str, day: int, minute: int) -> bool:
    days, start, end = _parsed(window)
    if start < end:
        return day in days and start <= minute < end
    # Over midnight: its day is the one on which it begins.
    return (day in days and minute >= start) or ((day - 1) % 7 in days and minute < end)


def _parsed(window: str) -> tuple[frozenset[int], int, int]:
    """Return a window's days (Monday is 0) and its first and last minute of a day, the last not within."""
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise ValueError('a window is written "20:00-06:00", "fri 20:00-24:00" or "mon-fri 20:00-06:00"')
    first, last, *times = found.groups()
    begins = DAYS.index(first) if first else 0
    many = (DAYS.index(last) - begins) % 7 + 1 if last else 1 if first else 7
    hour, minute, end_hour, end_minute = (None if one is None else int(one) for one in times)
    end = 24 * 60 if end_hour is None else 60 * end_hour + (end_minute or 0)
    return frozenset((begins + n) % 7 for n in range(many)), 60 * (hour or 0) + (minute or 0), end
