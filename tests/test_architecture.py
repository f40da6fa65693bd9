"""The rooms, the fences and the sizes of docs/decisions/0001-rooms.md, as assertions over every import in the tree."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "fl_client", "fl_server", "simulations", "webapp")

MAY_IMPORT = {
    "core": {"core"},
    "fl_client": {"fl_client", "core"},
    "fl_server": {"fl_server", "core"},
    "webapp": {"webapp", "core"},
    "simulations": {"simulations", "fl_server", "fl_client", "core"},
}

# Each framework, and the only modules (or rooms) that may import it.
FENCES = {
    "flwr": (
        "fl_client.client_app",
        "fl_client.fleet_messages",
        "fl_client.fleet_objects",
        "fl_client.fleet_replies",
        "fl_server.exchange",
        "fl_server.rounds",
        "fl_server.server_app",
        "fl_server.strategies",
        "simulations.drill_updates",
        "simulations.federation",
    ),
    "torch": (
        "core.learning",
        "core.imaging.skull_stripping",
        "core.imaging.preprocessing",
        "core.predictor",
        "fl_client.dataset",
        "fl_client.differential_privacy",
        "fl_client.epoch_checkpoint",
        "fl_client.private_training",
        "fl_client.training",
        "fl_client.trainer",
        "fl_client.trial",
        "simulations",
    ),
    "opacus": ("fl_client.differential_privacy", "core.learning.privacy"),
    "pydicom": (
        "core.imaging.dicom",
        "core.imaging.headers",
        "core.imaging.pixels",
        "core.imaging.sequences",
        "fl_client.deidentify",
        "simulations",
        "webapp",
    ),
    "SimpleITK": ("core.imaging", "core.explanation", "core.predictor", "simulations"),
    "nilearn": ("simulations",),
    "ray": ("simulations.ray_cluster",),
    "mlflow": ("simulations.tracking",),
    "sklearn": ("simulations",),
    "optuna": ("simulations",),
    "sqlalchemy": (
        "core.records",
        "fl_client.site_records",
        "fl_server",
        "simulations.approval",
        "simulations.drill_stage",
        "simulations.drill_updates",
        "simulations.local",
        "webapp",
    ),
    "flask": ("webapp",),
}
FENCES["monai"] = FENCES["torch"]


def modules() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports_of(path: Path) -> set[str]:
    """Every imported module, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that rooms can be told apart"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_the_walk_sees_every_room() -> None:
    names = {name for name, _ in modules()}
    assert {"core.errors", "fl_client.config", "simulations"} <= names


def test_rooms_import_only_the_rooms_they_may() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        for imported in imports_of(path)
        if (room := imported.partition(".")[0]) in ROOMS and room not in MAY_IMPORT[name.partition(".")[0]]
    ]
    assert not wrong


def test_imaging_and_learning_know_neither_records_nor_each_other() -> None:
    strangers = {
        "core.imaging": ("core.learning", "core.records"),
        "core.learning": ("core.imaging", "core.records"),
        "core.records": ("core.imaging", "core.learning"),
    }
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        for home, others in strangers.items()
        if within(name, (home,))
        for imported in imports_of(path)
        if within(imported, others)
    ]
    assert not wrong


def test_the_wire_contract_knows_no_framework() -> None:
    for name, path in modules():
        if name in ("core.messages", "core.updates", "core.study"):
            assert not {i.partition(".")[0] for i in imports_of(path)} & {"flwr", "torch", "sqlalchemy", "pydicom"}, (
                name
            )


@pytest.mark.parametrize("framework", sorted(FENCES))
def test_a_framework_stays_behind_its_fence(framework: str) -> None:
    wrong = [
        name
        for name, path in modules()
        if framework in {i.partition(".")[0] for i in imports_of(path)} and not within(name, FENCES[framework])
    ]
    assert not wrong


def test_nothing_reads_pickles() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        for imported in imports_of(path)
        if imported.partition(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
        or imported in {"torch.load", "torch.save"}
    ]
    calls = [
        f"{name}:{node.lineno}"
        for name, path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"load", "save"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    ]
    assert not wrong + calls


def test_only_a_command_line_catches_everything() -> None:
    """A broad `except` elsewhere would turn a bug into silence; the edges of a process are named here."""
    edges = {
        "fl_client.client_app",  # a task at a site
        "fl_client.trainer_process",
        "fl_client.agent",  # what must go on beside the gate
        "fl_client.door",  # what SuperNode waits for
        "fl_client.passage",  # bytes that an app has made
        "core.imaging.sandbox",  # a process that reads what anybody may have sent
        "fl_server.strategies",  # bytes that a site sent
    }
    wrong = [
        f"{name}:{node.lineno}"
        for name, path in modules()
        if name not in edges and not name.endswith(".cli")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert not wrong


def test_files_stay_small_enough_to_hold_in_the_head() -> None:
    assert not [
        f"{name}: {n} lines" for name, path in modules() if (n := len(path.read_text("utf-8").splitlines())) > 300
    ]


def test_package_files_are_empty() -> None:
    assert not [name for name, path in modules() if path.name == "__init__.py" and path.read_text("utf-8").strip()]


def test_core_is_our_core() -> None:
    import core

    assert Path(core.__file__ or "").resolve().parent == ROOT / "core"


def test_reading_a_client_never_loads_the_server() -> None:
    """Proven on a running interpreter too: an import hidden behind a dependency would pass the reading above."""
    code = "import sys, fl_client.client_app; print([m for m in sys.modules if m.startswith(('fl_server', 'webapp'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
