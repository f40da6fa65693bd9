"""Identifiers stand wherever they may at a hospital; none, in no spelling, is in anything outside that hospital.

Not looked for here is what weights and counts tell of a patient by themselves: that is what privacy budgets bound.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from core.errors import FLError
from core.messages import SITE_ERROR
from core.presets import preset_of
from core.records.status import status_of
from fl_client.prepare import prepare_cohort
from simulations.altered_python import altered_python
from simulations.local import Running, Side, finished, running_federation, tiny_study, wait_for
from tests.factories_leaks import files_under
from tests.factories_overheard import federation_with
from tests.factories_planted import HEADER, PlantedHospital, a_planted_hospital
from tests.simulations.factories_federation import a_study

SITE = "site-1"
A_NAME = HEADER["PatientName"].format(n=1)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> PlantedHospital:
    return a_planted_hospital(tmp_path_factory.mktemp("h"), SITE, a_study())


def test_every_planted_identifier_stands_in_the_hospital_and_is_found_there(hospital: PlantedHospital) -> None:
    files = files_under(hospital.home)
    some = [path for path in files if path.suffix != ".dcm"] + [path for path in files if path.suffix == ".dcm"][::40]
    found = set().union(*(hospital.detector.found_in(str(path).encode(), runs=False) for path in some))
    found |= set().union(*(hospital.detector.found_in(path.read_bytes()) for path in some))
    assert hospital.planted <= {name.split(" (")[0] for name in found}
    assert any("burned-in pixels" in name for name in found)
    assert {n for n in (1, 2) if any(f"image of ZZFOLDER-0042{n}" in name for name in found)} == {1, 2}


def test_no_identifier_leaves_a_hospital_that_trains(
    hospital: PlantedHospital, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = a_study()
    left = federation_with(hospital, tmp_path, study, caplog, monkeypatch)
    assert not [answer for answer in left.answers if answer.has_error()]
    models = [part for part in left.parts if len(part) > preset_of(study.model).bytes]
    assert len(models) == 2 * 2 * 3 + 3, "there and back in two rounds of three sites, and there to be evaluated"
    assert len(files_under(tmp_path, tmp_path / "others")) >= 6, "history, aggregate, study, card, weights and records"
    assert not left.found_by(hospital)


def damage_a_prepared_case(hospital: PlantedHospital) -> None:
    hospital.first_case().write_bytes(A_NAME.encode() * 100)


def write_a_name_where_a_number_belongs(hospital: PlantedHospital) -> None:
    cohort = hospital.cohort()
    for case in cohort["cases"]:
        case["mgmt"] = A_NAME
    hospital.write_cohort(cohort)


def exclude_a_case_for_a_reason_that_names_its_patient(hospital: PlantedHospital) -> None:
    cohort = hospital.cohort()
    cohort["cases"][0] |= {"file": None, "verdict": "unreliable", "reasons": [f"{A_NAME} moved"]}
    hospital.write_cohort(cohort)


def lose_the_settings(hospital: PlantedHospital) -> None:
    (hospital.home / "site.toml").unlink()


def write_a_name_into_the_settings(hospital: PlantedHospital) -> None:
    with (hospital.home / "site.toml").open("a") as settings:
        settings.write(f'"{A_NAME}" = "{A_NAME}"\n')


def lose_the_scans_of_a_patient_who_is_prepared_again(hospital: PlantedHospital) -> None:
    """Cut a DICOM file whose name and path name the patient, and prepare again."""
    first = files_under(hospital.config.site.data / "train")[0]
    first.write_bytes(first.read_bytes()[:1000])
    cohort = prepare_cohort(hospital.config)
    assert len(cohort.excluded) == 1
    assert not hospital.detector.found_in(repr(cohort.excluded[0].reasons).encode())


def spoil_the_labels_before_the_first_preparation(hospital: PlantedHospital) -> None:
    (hospital.config.site.prepared / "cohort.json").unlink()
    with (hospital.config.site.data / "train_labels.csv").open("a") as labels:
        labels.write(f"{A_NAME},1,{A_NAME}\n")
    with pytest.raises(FLError, match="line 5") as refused:
        prepare_cohort(hospital.config)
    assert not hospital.detector.found_in(f"{refused.value.problem} {refused.value.fix}".encode())


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (damage_a_prepared_case, 6),
        (write_a_name_where_a_number_belongs, 0),
        (exclude_a_case_for_a_reason_that_names_its_patient, 6),
        (lose_the_settings, 2),
        (write_a_name_into_the_settings, 2),
        (lose_the_scans_of_a_patient_who_is_prepared_again, 6),
        (spoil_the_labels_before_the_first_preparation, 6),
    ],
)
def test_of_what_goes_wrong_at_a_hospital_a_code_leaves_and_no_word(
    spoil: Callable[[PlantedHospital], None],
    code: int,
    hospital: PlantedHospital,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoiled = hospital.moved_to(tmp_path / "inside")
    outside = tmp_path / "outside"
    outside.mkdir()
    study = a_study(rounds=1)
    left = federation_with(spoiled, outside, study, caplog, monkeypatch, lambda: spoil(spoiled))
    assert {answer.error.code for answer in left.answers} == {SITE_ERROR + code}
    assert not [answer.error.reason for answer in left.answers if answer.error.reason]
    assert not left.found_by(hospital)


# Run in the `ssl` module of the site's Python: what goes over a TLS connection that the site has opened.
TAP = """
_send, _recv, _recv_into = SSLSocket.send, SSLSocket.recv, SSLSocket.recv_into

def _tap(self, way, data):
    if data and not self.server_side:
        if not hasattr(self, "_tapped"):
            self._tapped = f"{self.getpeername()[1]}-{os.getpid()}-{id(self)}"
        with open(f"{FOLDER}/{self._tapped}-{way}", "ab") as file:
            file.write(data)

def _tapped_send(self, data, flags=0):
    sent = _send(self, data, flags)
    _tap(self, "out", bytes(memoryview(data).cast("B")[:sent]))
    return sent

def _tapped_recv(self, *how):
    data = _recv(self, *how)
    _tap(self, "in", data)
    return data

def _tapped_recv_into(self, buffer, *how):
    count = _recv_into(self, buffer, *how)
    _tap(self, "in", bytes(memoryview(buffer).cast("B")[:count]))
    return count

SSLSocket.send, SSLSocket.recv, SSLSocket.recv_into = _tapped_send, _tapped_recv, _tapped_recv_into
"""


def test_no_identifier_is_outside_a_hospital_that_takes_part_in_a_federation_of_processes(
    hospital: PlantedHospital, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Short, or the path of a socket in it is too long; and one that Nginx's account may enter.
    folder, tapped = tmp_path_factory.mktemp("f"), tmp_path_factory.mktemp("tap")
    here = hospital.moved_to(folder)
    python = altered_python(tapped / "python", {"ssl": f"import os\nFOLDER = {str(tapped)!r}\n{TAP}"})
    settings = {"FL_SITE__DATA": str(here.config.site.data), "FL_SITE__PREPARED": str(here.config.site.prepared)}
    side = Side("fl_client", here.home / SITE, settings, python=str(python))
    whole = here.first_case().read_bytes()
    damage_a_prepared_case(here)
    with running_federation(folder, [side], tiny_study(sites=1, rounds=2)) as federation:
        (edge_port,) = re.findall(r"127\.0\.0\.1:(\d+)", (federation.coordinator.home / "server.toml").read_text())
        seen = wait_for(lambda: cause_seen(federation), "the hospital's failure to be seen by the coordinator")
        # What a site tells of itself is soon written over.
        at_failure = [path.read_bytes() for path in federation.coordinator.home.glob("records.db*")]
        here.first_case().write_bytes(whole)
        version = wait_for(lambda: finished(federation), "the run to finish")
    assert seen == "this site's cohort is not prepared for the study"
    assert any(seen.encode() in data for data in at_failure)
    assert not set().union(*map(hospital.detector.found_in, at_failure))
    outside = {path: hospital.detector.found_in_file(path) for path in files_under(folder, here.home)}
    assert not {path: found for path, found in outside.items() if found}
    streams = sorted(tapped.glob(f"{edge_port}-*"))
    crossed = {path.name: hospital.detector.found_in(path.read_bytes()) for path in streams}
    assert not {name: found for name, found in crossed.items() if found}

    # What was searched is what there was: the weights stand in it as they left, beside every other call's words.
    out = b"".join(path.read_bytes() for path in streams if path.name.endswith("-out"))
    weights = load_file(federation.coordinator.home / "registry" / version / "weights.safetensors")
    assert max(weights.values(), key=lambda tensor: tensor.size).tobytes() in out
    assert all(
        call in out for call in (b"/v1/fleet/push-object", b"/v1/site/enroll", b"/v1/site/status", seen.encode())
    )
    kept = {path.relative_to(folder / "coordinator").parts[0] for path in outside if "coordinator" in path.parts}
    assert {"records.db", "flower", "logs", "registry", "runs", "studies"} <= kept


def cause_seen(federation: Running) -> str:
    """What the coordinator is told to be wrong at the hospital, once it is that."""
    cause = status_of(federation.records, federation.coordinator.home).sites[0].cause
    return cause if "prepared" in cause else ""
