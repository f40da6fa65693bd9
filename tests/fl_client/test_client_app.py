import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from core.errors import FLError, PreparationError, UpdateRejected
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of
from core.messages import SITE_ERROR, Records, Task, read_evaluation, read_update, task_of, task_records
from fl_client import trainer
from fl_client.client_app import content_of, make_client_app, packed_of
from fl_client.site_error import site_error
from fl_client.trainer_socket import listen, pack, packed, serve, unpack, unpacked
from fl_server.strategies import records_of as read_answer
from fl_server.strategies import task_content
from tests.simulations.factories_federation import a_study, make_site, write_study

STUDY = a_study()
MODEL = build_model(STUDY.model, seed=11)
TASK = task_of(STUDY, 2, flatten(MODEL), manifest_of(MODEL).digest, "tiny-run-1", "c" * 64)
SECRET = "patient_007 Jane Doe"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("bundle"), STUDY)


@pytest.fixture(scope="module")
def app(study: Path) -> ClientApp:
    return make_client_app(study)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return a_context({"site-config": str(make_site(tmp_path_factory.mktemp("site"), "site-a", 6))})


def a_context(node: dict[str, str]) -> Context:
    return Context(1, 5, dict(node), RecordDict(), {})


def a_message(task: Task, kind: str = "train") -> Message:
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    arrays, config = task_content(task)
    return Message(RecordDict({"arrays": arrays, "config": config}), 5, kind, group_id=str(task.round))


def test_a_task_reaches_the_site_as_it_was_sent() -> None:
    records = unpacked(packed_of(a_message(TASK).content))
    np.testing.assert_array_equal(records.arrays["weights"], TASK.weights)
    assert records.config == task_records(TASK).config


def test_a_task_in_another_format_is_refused(app: ClientApp, context: Context) -> None:
    message = a_message(TASK)
    message.content.array_records["arrays"]["weights"].stype = "torch.tensor"
    assert app(message, context).error.code == SITE_ERROR + UpdateRejected.exit_code


def test_a_training_task_is_answered_with_a_readable_update(app: ClientApp, context: Context) -> None:
    answer = app(a_message(TASK), context)
    update = read_update(read_answer(answer.content, len(TASK.weights)))
    assert (update.site, update.round, update.examples) == ("site-a", 2, 4)
    assert set(answer.content) == {"arrays", "config", "metrics"}
    assert list(answer.content.array_records["arrays"]) == ["weights"]
    assert (answer.metadata.src_node_id, answer.metadata.group_id) == (5, "2")


def test_an_evaluation_task_is_answered_with_counts_and_no_array(app: ClientApp, context: Context) -> None:
    answer = app(a_message(TASK, "evaluate"), context)
    evaluation = read_evaluation(read_answer(answer.content, len(TASK.weights)))
    assert (evaluation.site, evaluation.round) == ("site-a", 2)
    assert not answer.content.array_records["arrays"]


@pytest.mark.parametrize("kind", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(SECRET), SITE_ERROR),
        (MemoryError(SECRET), SITE_ERROR),
        (PreparationError(SECRET, fix=SECRET), SITE_ERROR + 6),
    ],
)
def test_an_errors_text_stays_at_the_site(
    app: ClientApp,
    context: Context,
    kind: str,
    error: Exception,
    code: int,
    monkeypatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(trainer, kind, fail)
    answer = app(a_message(TASK, kind), context)
    assert (answer.error.code, answer.error.reason) == (code, None)
    assert b"patient_007" not in answer.deflate()
    # The hospital's own log is where the reason belongs; Flower's is not.
    speaking = {record.name for record in caplog.records if "patient_007" in caplog.handler.format(record)}
    assert speaking == {"fl_client.client_app"}


def test_broken_settings_and_tasks_are_errors_with_a_code(app: ClientApp, context: Context, tmp_path: Path) -> None:
    absent = a_context({"site-config": str(tmp_path / "none.toml")})
    assert app(a_message(TASK), absent).error.code == SITE_ERROR + 2
    assert app(a_message(TASK), a_context({})).error.code == SITE_ERROR + 2
    assert app(a_message(replace(TASK, study="other")), context).error.code == SITE_ERROR + 7
    empty = Message(RecordDict(), reply_to=a_message(TASK))
    assert app(empty, context).error.code == SITE_ERROR
    (tmp_path / "study.toml").write_text("name = ")
    assert make_client_app(tmp_path / "study.toml")(a_message(TASK), context).error.code == SITE_ERROR + 2


def test_a_variable_of_the_sites_process_does_not_change_the_study(
    app: ClientApp, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FL_MODEL__PRESET", "small")
    assert not app(a_message(TASK, "evaluate"), context).has_error()


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_with_a_trainer_the_app_hands_over_kind_study_and_task_and_passes_on_the_answer(
    tmp_path: Path, kind: str
) -> None:
    path, asked = tmp_path / "study.toml", []
    path.write_bytes(b'name = "tiny"\r\n')
    answer = Records({"weights": np.arange(3, dtype=np.float32)}, {"site": "site-a"}, {"examples": 4.0})

    def answering(request: bytes) -> bytes:
        asked.append(unpack(request))
        return pack({"key": "any"}, answer)

    with listen(tmp_path / "t.sock") as listener:
        Thread(target=serve, args=(listener, answering), daemon=True).start()
        reply = make_client_app(path)(a_message(TASK, kind), a_context({"trainer": str(tmp_path / "t.sock")}))
    ((head, task),) = asked
    # To the byte: it is this text that the site has approved.
    assert head == {"kind": kind, "study": 'name = "tiny"\r\n', "flower_run": 1}
    assert task.config == task_records(TASK).config
    assert task.arrays["weights"].tobytes() == TASK.weights.tobytes()
    assert unpacked(packed_of(reply.content)).arrays["weights"].tolist() == [0, 1, 2]
    assert dict(reply.content.metric_records["metrics"]) == {"examples": 4.0}


def test_a_trainers_error_is_passed_on(tmp_path: Path, study: Path) -> None:
    with listen(tmp_path / "t.sock") as listener:
        answer = pack({"code": 106, "kind": "PreparationError"})
        Thread(target=serve, args=(listener, lambda _: answer), daemon=True).start()
        reply = make_client_app(study)(a_message(TASK), a_context({"trainer": str(tmp_path / "t.sock")}))
    assert (reply.error.code, reply.error.reason) == (106, None)


def test_the_app_never_loads_pytorch_nor_the_database_nor_the_server() -> None:
    code = (
        "import sys; from pathlib import Path; from fl_client.client_app import make_client_app; "
        "make_client_app(Path('study.toml')); "
        "print([m for m in ('torch', 'monai', 'sqlalchemy', 'SimpleITK', 'scipy', 'fl_server') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_expected_failure_has_a_code_of_its_own() -> None:
    def tree(kind: type[FLError]) -> list[type[FLError]]:
        ours = [child for child in kind.__subclasses__() if child.__module__ == "core.errors"]
        return [kind, *(below for child in ours for below in tree(child))]

    kinds = tree(FLError)
    assert len({site_error(kind("", fix="")).code for kind in kinds}) == len(kinds)


def test_an_answers_records_are_exactly_flowers_three() -> None:
    content = content_of(packed(task_records(TASK)))
    assert [type(record).__name__ for record in content.values()] == ["ArrayRecord", "ConfigRecord", "MetricRecord"]
