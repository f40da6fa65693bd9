"""The measurements of bench/ are run by hand and seldom: here is seen that none has lost what it stands on."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_measurement_finds_all_that_it_uses() -> None:
    names = sorted(f"bench.{path.stem}" for path in (ROOT / "bench").glob("*.py"))
    assert "bench.web_sizing" in names
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
