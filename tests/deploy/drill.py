"""The drill of the whole deployment: from empty machines to a prediction, through loss and repair. It prints its table.

    make drill                                        all of it
    python -m tests.deploy.drill FOLDER [STEP...]     these steps; without `federation`, on one hospital's machine alone

Three machines without any network but their own: a coordinator, and the hospitals north and south. Each is installed
from a signed bundle; the pages' certificates come from an ACME authority beside them; so does the clinician's browser.
"""

import os
import sys
from pathlib import Path

from tests.deploy import drill_federation, drill_install, drill_loss, drill_web
from tests.deploy.factories_drill import WEB, a_drill
from tests.deploy.factories_machines import ALONE

# Set in the process that has namespaces of its own.
INSIDE = "GLIOFED_DRILL_INSIDE"
STEPS = {
    "install": drill_install.install,
    "certificates": drill_web.certificates,
    "federation": drill_federation.federation,
    "predict": drill_web.predict,
    "load": drill_web.load,
    "tls": drill_web.tls,
    "loss": drill_loss.loss,
    "broken upgrade": drill_install.broken_upgrade,
    "upgrade": drill_install.upgrade,
    "verify": drill_federation.verify,
}


def main() -> None:
    if INSIDE not in os.environ:
        again = [*ALONE, sys.executable, "-m", "tests.deploy.drill", *sys.argv[1:]]
        os.execvpe(again[0], again, os.environ | {INSIDE: "yes"})
    folder, wanted = Path(sys.argv[1]).absolute(), sys.argv[2:] or list(STEPS)
    names = tuple(WEB) if "federation" in wanted else ("north",)
    with a_drill(folder, names) as drill:
        for name in wanted:
            STEPS[name](drill)


if __name__ == "__main__":
    main()
