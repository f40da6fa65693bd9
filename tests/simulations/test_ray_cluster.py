import fcntl
import os
import platform
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from importlib.metadata import version

import numpy as np
import pytest
import torch

from core.errors import ConfigError, ConnectionProblem, DataError, FederationError
from core.learning.cases import training_case
from core.study import Study
from fl_client.dataset import Cohort
from simulations import ray_cluster
from simulations.code_version import ROOMS
from simulations.local import wait_for
from simulations.ray_cluster import mapper, pool, release
from simulations.rounds import federate
from simulations.tensor_cohort import MadeCohort, People
from tests.factories_ports import free_port
from tests.simulations.factories_ray import ROOT, two_nodes

torch.set_num_threads(1)

STUDY = Study(
    name="test",
    model={"preset": "tiny"},
    preprocessing={"grid": 16},
    training={"epochs_per_round": 1},
    federation={"rounds": 2},
)
SITES = ("east", "north", "south", "west")


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture
def mortal(cluster):
    """The cluster, for a test that takes a node from it."""
    yield cluster
    cluster.mend()


@pytest.fixture(scope="module")
def over_ray(cluster):
    """One connection for all: each would start workers of its own, which import torch first."""
    with mapper(cluster.address) as mapped:
        yield mapped


def a_cohort(number):
    def image(case):
        return np.random.default_rng([number, case]).standard_normal((4, 16, 16, 16)).astype(np.float32)

    cases = tuple(training_case(image(case), None, case % 2) for case in range(3 + number % 2))
    return Cohort(cases[1:], cases[:1], ())


RECIPES = {site: partial(a_cohort, number) for number, site in enumerate(SITES)}


@pytest.fixture(scope="module")
def in_process(tmp_path_factory):
    return federate({site: recipe() for site, recipe in RECIPES.items()}, STUDY, tmp_path_factory.mktemp("in-process"))


def same(one, other):
    assert one.weights.tobytes() == other.weights.tobytes()
    assert one.history == other.history
    assert one.best_round == other.best_round


def where(number):
    return number, os.getpid(), torch.get_num_threads()


def refuse(number):
    if number == 1:
        raise DataError("Case 1 is broken", fix="mend it")
    return number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def hold(folder, number):
    """Tell that work has begun; go on once nobody holds the folder's lock."""
    (folder / f"{number}-{os.getpid()}").touch()
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    return number


def test_a_cluster_works_side_by_side_on_one_thread_each_and_answers_in_order(over_ray):
    answers = list(over_ray(where, range(6)))
    assert [number for number, _, _ in answers] == list(range(6))
    assert os.getpid() not in {process for _, process, _ in answers}
    assert {threads for *_, threads in answers} == {1}


def test_processes_and_this_one_do_the_same_work():
    with mapper(workers=2) as mapped:
        answers = list(mapped(where, range(4)))
    assert [number for number, _, _ in answers] == list(range(4))
    assert os.getpid() not in {process for _, process, _ in answers}
    with mapper() as mapped:
        assert list(mapped(where, range(2))) == [(0, os.getpid(), 1), (1, os.getpid(), 1)]


def test_a_killed_process_is_told_of_with_what_to_do_also_where_more_work_is_handed_out():
    with pytest.raises(FederationError, match="was killed") as told, pool(workers=2) as executor:
        wait([executor.submit(die, 0)])
        executor.submit(where, 1)  # refused by a pool that lost a process
    assert "fewer --workers" in told.value.fix


def test_what_the_work_raises_is_raised_here_with_its_fix(over_ray):
    with pytest.raises(DataError, match="Case 1 is broken") as told:
        list(over_ray(refuse, range(4)))
    assert told.value.fix == "mend it"


def test_a_federation_on_a_cluster_has_the_bits_of_one_in_this_process(over_ray, in_process, tmp_path):
    same(federate(RECIPES, STUDY, tmp_path, mapped=over_ray), in_process)


def test_work_that_a_dying_node_has_begun_is_done_by_another(mortal, over_ray, tmp_path):
    with ThreadPoolExecutor(1) as beside:
        with (tmp_path / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            answers = beside.submit(list, over_ray(partial(hold, tmp_path), range(3)))
            wait_for(lambda: len(list(tmp_path.glob("*-*"))) == 2 or None, "both nodes to begin")
            mortal.lose_a_node()
        assert answers.result() == [0, 1, 2]
    tries = [path.name.partition("-")[0] for path in tmp_path.glob("*-*")]
    assert len(tries) > len(set(tries)) == 3


def test_a_federation_that_loses_a_node_in_the_middle_of_a_round_keeps_its_bits(mortal, over_ray, in_process, tmp_path):
    lost = []

    def losing(function, items):
        for result in over_ray(function, items):
            if len(lost) == len(SITES) + 1:  # in the second round, its first is done and others are at work
                mortal.lose_a_node()
            lost.append(result)
            yield result

    same(federate(RECIPES, STUDY, tmp_path, mapped=losing), in_process)
    assert len(lost) == 3 * len(SITES)


def test_a_node_with_other_code_or_libraries_is_named_and_refused(over_ray, monkeypatch):
    wanted = {**release(), "torch": "1.0"}
    monkeypatch.setattr(ray_cluster, "release", lambda: wanted)
    with pytest.raises(ConfigError, match=rf"node {platform.node()} differs from this machine in: torch$"):
        list(over_ray(where, range(2)))


def test_any_byte_of_our_code_is_part_of_the_release(monkeypatch, tmp_path):
    told = release()
    assert told["torch"] == version("torch")
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(ray_cluster, "__file__", str(tmp_path / "simulations" / "ray_cluster.py"))
    assert release.__wrapped__() == told
    with (tmp_path / "core" / "npy.py").open("a") as file:
        file.write("\n")
    assert release.__wrapped__() == {**told, "gliofed's code": release.__wrapped__()["gliofed's code"]} != told


def test_where_no_cluster_answers_the_address_is_asked_for():
    with pytest.raises(ConnectionProblem, match="No Ray cluster answers") as told, mapper(f"127.0.0.1:{free_port()}"):
        pass
    assert "ray start --head" in told.value.fix
    with pytest.raises(ConnectionProblem), mapper("nonsense"):
        pass


def test_a_made_cohort_is_the_same_wherever_it_is_made(tmp_path):
    people = People(seed=3, hospital=1, patients=5, size=16)
    first, second = (MadeCohort(tmp_path / name, people, STUDY, "north") for name in ("here", "there"))
    here, there = first(), second()
    assert (len(here.training), len(here.validation), len(here.patients)) == (4, 1, 5)
    for one, other in zip(here.training + here.validation, there.training + there.validation, strict=True):
        assert torch.equal(one.image, other.image)
