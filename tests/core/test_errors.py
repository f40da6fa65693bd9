import pickle

from core import errors
from core.errors import FLError


def kinds() -> list[type[FLError]]:
    found, new = [], [FLError]
    while new:
        found += new
        new = [child for kind in new for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return found


def test_every_error_tells_its_problem_and_its_fix() -> None:
    error = errors.DicomError("Series has 2 orientations", fix="export the localizer separately")
    assert (str(error), error.problem, error.fix) == (
        error.problem,
        "Series has 2 orientations",
        "export the localizer separately",
    )


def test_every_kind_has_an_exit_code_of_its_own_and_a_line_in_the_tree() -> None:
    codes = [kind.exit_code for kind in kinds()]
    assert len(set(codes)) == len(codes)
    assert all(code != 0 for code in codes)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds())


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    for kind in kinds():
        copy = pickle.loads(pickle.dumps(kind("gap of 5 mm", fix="export again")))
        assert (type(copy), copy.problem, copy.fix) == (kind, "gap of 5 mm", "export again")
