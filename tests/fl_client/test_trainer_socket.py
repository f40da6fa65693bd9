import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AccessError, ConfigError, ConnectionProblem, UpdateRejected
from core.messages import Records
from fl_client import trainer_socket
from fl_client.site_error import SiteError
from fl_client.trainer_socket import Packed, ask, head_of, listen, pack, packed, serve, stop_runs, unpack

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__")
NUMBERS = st.floats(allow_nan=False)
LONG = pack({"study": "a" * trainer_socket.MAX_ABOUT_BYTES})
ONE = pack({}, Records({"weights": np.ones(3, np.float32)}))


@given(
    st.dictionaries(NAMES, st.lists(st.floats(width=32, allow_nan=False), max_size=8), max_size=3),
    st.dictionaries(NAMES, st.text(max_size=30) | st.integers() | NUMBERS, max_size=4),
    st.dictionaries(NAMES, NUMBERS | st.lists(NUMBERS, max_size=5), max_size=4),
)
def test_whatever_goes_in_comes_out_as_it_was(arrays: dict, config: dict, metrics: dict) -> None:
    sent = Records({name: np.array(values, np.float32) for name, values in arrays.items()}, config, metrics)
    head, got = unpack(pack({"kind": "train", "study": "a = 1\r\n"}, sent))
    assert head == {"kind": "train", "study": "a = 1\r\n"}
    assert {name: array.tobytes() for name, array in got.arrays.items()} == {
        name: array.tobytes() for name, array in sent.arrays.items()
    }
    assert (got.config, got.metrics) == (config, metrics)
    assert [type(value) for value in got.config.values()] == [type(value) for value in config.values()]


def test_the_same_message_is_the_same_bytes_and_its_head_reads_without_its_arrays() -> None:
    records = Records({"weights": np.arange(5, dtype=np.float32)[::2]}, {"round": 3}, {"examples": 4.0})
    assert pack({"key": "k"}, records) == pack({"key": "k"}, records)
    assert head_of(pack({"key": "k"}, records)) == {"key": "k"}


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 7, b"\xff" * 40, struct.pack(">Q", 2) + b"{}", pack({})[:-3], ONE[:-1], ONE + b"0", LONG]
)
def test_bytes_that_are_no_message_are_refused(content: bytes) -> None:
    with pytest.raises(UpdateRejected, match="cannot be read"):
        unpack(content)


def serving(path: Path, answer) -> socket.socket:
    listener = listen(path)
    Thread(target=serve, args=(listener, answer), daemon=True).start()
    return listener


def test_a_question_reaches_the_trainer_and_its_answer_comes_back(tmp_path: Path) -> None:
    asked = []

    def answer(request: bytes) -> bytes:
        asked.append(unpack(request))
        return pack({}, Records({"weights": np.full(3, 2, np.float32)}, {"site": "a"}, {"examples": 4.0}))

    with serving(tmp_path / "run" / "t.sock", answer):
        got = ask(
            tmp_path / "run" / "t.sock", "train", "name = 1", packed(Records({"weights": np.ones(3, np.float32)})), 9
        )
    assert got == packed(Records({"weights": np.full(3, 2, np.float32)}, {"site": "a"}, {"examples": 4.0}))
    ((head, records),) = asked
    assert head == {"kind": "train", "study": "name = 1", "flower_run": 9}
    assert records.arrays["weights"].tolist() == [1, 1, 1]


def test_an_error_comes_back_as_its_code_and_kind(tmp_path: Path) -> None:
    with serving(tmp_path / "t.sock", lambda _: pack({"code": 107, "kind": "UpdateRejected"})):
        assert ask(tmp_path / "t.sock", "train", "", Packed()) == SiteError(107, "UpdateRejected")


def test_only_this_account_reaches_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "t.sock"
    asked = []
    with serving(path, lambda request: asked.append(request) or pack({})):
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        monkeypatch.setattr(trainer_socket, "_peer", lambda _: os.getuid() + 1)
        with pytest.raises(AccessError, match="another account"):
            ask(path, "train", "", Packed())
        # The other side looks too, whatever the asker says of itself.
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            request = pack({"kind": "train", "study": ""})
            # It hangs up at once, perhaps before all of this is sent.
            with suppress(ConnectionResetError, BrokenPipeError):
                stranger.sendall(struct.pack(">Q", len(request)) + request)
                assert stranger.recv(1) == b""
    assert not asked


def test_a_trainer_that_ends_over_a_task_is_asked_again_but_not_for_ever(tmp_path: Path) -> None:
    path, lost = tmp_path / "t.sock", []

    def end_at_once(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            lost.append(1)
            connection.close()

    with listen(path) as listener:
        Thread(target=end_at_once, args=(listener,), daemon=True).start()
        with pytest.raises(ConnectionProblem, match="ended 3 times"):
            ask(path, "train", "", packed(Records({"weights": np.zeros(1000, np.float32)})))
        listener.shutdown(socket.SHUT_RDWR)
    assert len(lost) == 3


def test_without_a_trainer_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_socket, "CONNECT_S", 0.0)
    with pytest.raises(ConnectionProblem, match="does not run"):
        ask(tmp_path / "t.sock", "train", "", Packed())
    with pytest.raises(ConnectionProblem, match="does not run"):
        stop_runs(tmp_path / "t.sock", ["run"])


def test_a_claim_of_too_many_bytes_is_not_believed(tmp_path: Path) -> None:
    asked = []
    with (
        serving(tmp_path / "t.sock", lambda request: asked.append(request) or pack({})),
        socket.socket(socket.AF_UNIX) as asker,
    ):
        asker.connect(str(tmp_path / "t.sock"))
        asker.sendall(struct.pack(">Q", trainer_socket.MAX_BYTES + 1))
        assert asker.recv(1) == b""
    assert not asked


def test_a_path_too_long_for_a_socket_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        listen(tmp_path / ("long" * 30) / "t.sock")
