import errno
from pathlib import Path

import pytest

from core.errors import UpdateRejected
from fl_client import spool
from fl_client.spool import Spool
from fl_client.trainer_socket import pack

ANSWER = pack({"key": "k"})


def test_a_checkpoint_goes_once_the_answer_is_kept(tmp_path: Path) -> None:
    kept = Spool(tmp_path)
    for study in ("one", "two"):
        kept.checkpoint(study).write_bytes(b"some epochs")
    kept.keep("one", ANSWER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.answer", "two.checkpoint"]
    assert kept.kept("one", "k") == ANSWER


def test_an_answer_that_the_disk_has_no_room_for_takes_that_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, honest = Spool(tmp_path), spool.write_private
    kept.checkpoint("one").write_bytes(b"some epochs")

    def on_a_small_disk(path: Path, content: bytes) -> None:
        if kept.checkpoint("one").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(path, content)

    monkeypatch.setattr(spool, "write_private", on_a_small_disk)
    kept.keep("one", ANSWER)
    assert kept.kept("one", "k") == ANSWER


def test_an_answer_that_the_disk_has_no_room_for_at_all_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "write_private", full)
    with pytest.raises(OSError, match="No space left"):
        Spool(tmp_path).keep("one", ANSWER)


def test_what_a_killed_trainer_was_writing_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    others = {"one.answer", "one.checkpoint", ".0a1b2c3d.partial-traffic.json", "efforts.json"}
    for name in others | {".0a1b2c3d.partial-one.answer", ".0a1b2c3d.partial-one.checkpoint"}:
        (tmp_path / name).write_bytes(b"")
    Spool(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others


def test_no_file_is_named_by_a_study_without_a_proper_name(tmp_path: Path) -> None:
    for name in ("../one", "", "One", ".one"):
        with pytest.raises(UpdateRejected):
            Spool(tmp_path).checkpoint(name)
