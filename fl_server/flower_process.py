"""Runs one of Flower's programs with Python's cycle collector called less often, and bodies read in larger pieces.

    python -m fl_server.flower_process flower-superlink FLAGS...

SuperLink makes many short-lived objects for each call, and the collector's default thresholds then take a tenth of its
time. The console script's entry point runs as it is; nothing private of Flower's is touched.
"""

import gc
import sys
from importlib.metadata import entry_points

from core.large_messages import receive_large_bodies

# New objects between two looks at the youngest; Python's own is 700.
THRESHOLD = 50_000


def main() -> None:
    """Run the program to its end."""
    _, name, *flags = sys.argv
    (entry,) = entry_points(group="console_scripts", name=name)
    program = entry.load()
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 20)
    receive_large_bodies()
    sys.argv = [name, *flags]
    sys.exit(program())


if __name__ == "__main__":
    main()
