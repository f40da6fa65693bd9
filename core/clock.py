"""The one clock: UTC, as text that sorts by time and reads the same in a log, a database and a hash."""

from datetime import UTC, datetime, timedelta


def now() -> str:
    """Return the time as `2026-11-24T21:55:19.123456Z`."""
    return text_of(datetime.now(UTC))


def after(seconds: float) -> str:
    """Return the time so many seconds from now, as `now` does."""
    return text_of(datetime.now(UTC) + timedelta(seconds=seconds))


def text_of(moment: datetime) -> str:
    """Return a moment as `now` does.

    Args:
        moment: with its time zone.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_of(text: str) -> datetime:
    """Return the moment that a text of `now` stands for."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def age_s(text: str) -> float:
    """Return how many seconds ago a text of `now` was written."""
    return (datetime.now(UTC) - moment_of(text)).total_seconds()


def span(seconds: float) -> str:
    """Return a span of time in the largest unit of which it has two: `3 min`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
