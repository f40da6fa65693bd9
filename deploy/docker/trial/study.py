"""What a coordinator types: launch a study, wait until its run has finished, approve the version that it came to."""

import json
import subprocess
import sys
import time

PATIENCE_S = 1800
LOOK_S = 3


def fl_server(*arguments: str) -> str:
    done = subprocess.run(["fl-server", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:  # the command has said why
        sys.exit(done.returncode)
    return done.stdout


def finished_version() -> str:
    seen = 0
    gives_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < gives_up:
        run = json.loads(fl_server("status", "--json"))["runs"][0]
        for one in run["rounds"][seen:]:
            print(f"{run['run']}: round {one['round']} of {', '.join(one['sites'])}", flush=True)
        seen = len(run["rounds"])
        if run["state"] == "finished":
            return str(run["version"])
        if run["state"] in ("paused", "failed", "stopped"):
            sys.exit(f"The run is {run['state']}: {run['cause']}")
        time.sleep(LOOK_S)
    sys.exit(f"The run has not finished within {PATIENCE_S // 60} minutes: fl-server status says how far it is")


def main() -> None:
    if not json.loads(fl_server("status", "--json"))["runs"]:
        print(fl_server("launch", sys.argv[1]), end="", flush=True)
    version = finished_version()
    if any(
        one["version"] == version and one["state"] == "candidate" for one in json.loads(fl_server("models", "--json"))
    ):
        print(fl_server("approve", version), end="", flush=True)


if __name__ == "__main__":
    main()
