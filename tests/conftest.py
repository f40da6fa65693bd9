"""Settings of the process that runs the tests; nothing is shared between tests here."""

import os
from pathlib import Path

from hypothesis import settings

# Before anything imports them: no phone-home, and no more threads than a test needs on a small machine.
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
# A home of the tests' own, kept between runs: the template head in it takes a while to build.
os.environ["FL_HOME"] = str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "home")

# Property tests explore anew at a desk; where a change is judged, the same tree gives the same verdict.
settings.register_profile("desk", deadline=None)
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable" if os.environ.get("CI") else "desk")
