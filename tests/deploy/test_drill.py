"""One hospital's half of the drill: bundles, installing, a certificate, and back from a release that is broken.

`make drill` does all of it, with a coordinator and two hospitals.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.factories_drill import DRILL
from tests.deploy.factories_machines import ROOT

STEPS = ("install", "certificates", "broken upgrade")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    assert os.geteuid() == 0, "needs namespaces: run the tests as root, `sudo make test`"
    assert list(DRILL.glob("gliofed-*.tar")), "needs a bundle: `make build/drill`"
    folder = tmp_path_factory.mktemp("drill")
    command = [sys.executable, "-m", "tests.deploy.drill", str(folder), *STEPS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    for image in (*folder.glob("*/image"), *folder.glob("bundles/*.tar")):
        image.unlink()
    return {row["step"]: row["seen"] for row in json.loads((Path(folder) / "book.json").read_text())}


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        ("bundles that are not as their maker signed them", "5 kinds refused"),
        ("install.sh --offline", "north: serves"),
        ("install.sh again", "nothing was changed"),
        ("certificates by Certbot", "verified"),
        ("upgrade to a release that changes tables and does not serve", "the old release and its tables are back"),
    ],
)
def test_the_drill_saw(book: dict[str, str], step: str, seen: str) -> None:
    (found,) = [told for name, told in book.items() if name.startswith(step)]
    assert seen in found
