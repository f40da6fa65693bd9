import pytest

from core.errors import DicomError
from core.terminal import run


def fails(error: Exception) -> object:
    raise error


def test_an_expected_failure_is_told_in_two_lines_and_sets_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: fails(DicomError("Two [bold] orientations", fix="export again")))
    assert ended.value.code == DicomError.exit_code
    assert capsys.readouterr().err == "Problem: Two [bold] orientations\nFix: export again\n"


def test_a_path_that_cannot_be_used_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: fails(NotADirectoryError(20, "Not a directory", "/x/y")))
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("Problem: Not a directory: /x/y\nFix: ")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: fails(ZeroDivisionError()))
