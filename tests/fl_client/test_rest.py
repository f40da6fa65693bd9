from datetime import UTC, datetime, timedelta

import pytest

from core.errors import FederationError
from core.hours import HoursSettings
from fl_client.rest import LOOK_S, Rest

NIGHTS = HoursSettings(windows=("20:00-06:00",))


class Clock:
    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        self.looks = 0

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def look(self) -> None:
        self.looks += 1


def test_a_site_rests_until_its_hours_begin() -> None:
    clock = Clock("2026-11-24T19:59:50")
    rest = Rest(NIGHTS, lambda: clock.now, clock.sleep)
    assert rest.is_due
    rest.take(clock.look)
    assert clock.looks == 10 / LOOK_S
    assert not rest.is_due
    rest.take(clock.look)
    assert clock.looks == 10 / LOOK_S


def test_a_rest_ends_when_nobody_wants_the_task_any_more() -> None:
    clock = Clock("2026-11-24T12:00:00")

    def stopped() -> None:
        raise FederationError("The coordinator stopped this run", fix="nothing")

    with pytest.raises(FederationError):
        Rest(NIGHTS, lambda: clock.now, clock.sleep).take(stopped)


def test_without_hours_a_site_never_rests() -> None:
    assert not Rest(HoursSettings()).is_due
