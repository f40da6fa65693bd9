"""Say by the exit code whether a site takes part: each of its processes runs, and the coordinator has just answered."""

import json
import subprocess
import sys

RECENT_S = 60

if __name__ == "__main__":
    told = subprocess.run(["fl-client", "status", "--json"], stdout=subprocess.PIPE, check=True).stdout
    status = json.loads(told)
    age_s = status["contact"]["age_s"]
    runs = bool(status["processes"]) and all(process["pid"] for process in status["processes"])
    sys.exit(not (runs and age_s is not None and age_s < RECENT_S))
