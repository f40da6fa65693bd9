"""A request's body on its way to disk: too slow, cut off, and what is left of it (nothing)."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from core.errors import NotACaseError
from webapp import uploads
from webapp.config import LimitSettings
from webapp.errors import Refused
from webapp.sealed_files import read_sealed
from webapp.uploads import place_of, receiving

LIMITS = LimitSettings(slowest_bytes_s=1000)


class Dripping(io.RawIOBase):
    """A line over which a few bytes come at a time, each after so many seconds of a clock that we set."""

    def __init__(self, content: bytes, clock: Iterator[float]) -> None:
        super().__init__()
        self._left = io.BytesIO(content)
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._left.readinto(memoryview(buffer)[:100])


def a_request(stream: io.IOBase, length: int) -> Request:
    builder = EnvironBuilder(method="POST", path="/predict", content_type="application/zip", content_length=length)
    environment = builder.get_environ() | {"wsgi.input": stream, "CONTENT_LENGTH": str(length)}
    return Request(environment)


def ticking(seconds: float) -> Iterator[float]:
    moment = 0.0
    while True:
        yield moment
        moment += seconds


def test_an_upload_that_drips_is_cut_off_and_one_that_is_merely_slow_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tick, refused in ((1.0, True), (0.05, False)):
        clock = ticking(tick)
        monkeypatch.setattr(uploads.time, "monotonic", lambda clock=clock: next(clock))
        request = a_request(Dripping(bytes(20_000), clock), 20_000)
        if refused:
            with pytest.raises(Refused) as told, receiving(request, tmp_path, LIMITS):
                pass
            assert told.value.status == 408
            assert not list(tmp_path.iterdir())
            continue
        with receiving(request, tmp_path, LIMITS) as (upload, _):
            assert upload.bytes == 20_000
            assert read_sealed(upload.folder / "u00000", upload.key) == bytes(20_000)


@pytest.mark.parametrize(("error", "status"), [(TimeoutError(), 408), (ConnectionResetError(), 400)])
def test_a_silent_line_is_cut_off(tmp_path: Path, error: OSError, status: int) -> None:
    class Silent(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _buffer: object) -> int:
            raise error

    with pytest.raises(Refused) as told, receiving(a_request(Silent(), 1000), tmp_path, LIMITS):
        pass
    assert told.value.status == status
    assert not list(tmp_path.iterdir())


def test_what_is_kept_stays_and_what_fails_later_goes(tmp_path: Path) -> None:
    with receiving(a_request(io.BytesIO(b"abc"), 3), tmp_path, LIMITS) as (upload, _):
        pass
    assert (upload.folder / "u00000").exists()
    with (
        pytest.raises(ZeroDivisionError),
        receiving(a_request(io.BytesIO(b"abc"), 3), tmp_path, LIMITS) as (failed, _),
    ):
        raise ZeroDivisionError
    assert not failed.folder.exists()


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:\\x", "\\\\host\\x", "a\0b", "x" * 1001])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(NotACaseError):
        place_of(name)


@pytest.mark.parametrize(("name", "place"), [("a/b.dcm", "a/b.dcm"), ("a\\b.dcm", "a/b.dcm"), ("./a", "a"), ("", ".")])
def test_ordinary_names_keep_their_place(name: str, place: str) -> None:
    assert str(place_of(name)) == place
