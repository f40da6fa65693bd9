"""What Gunicorn is told beyond its options: a socket that is systemd's stays where it is when Gunicorn stops.

It would delete the path, as if it had made the socket: whoever comes next would not find it. Where it may not, as in
/run, it would die of that, and what is under way would be cut off.
"""

import os
from typing import Any


def when_ready(arbiter: Any) -> None:  # noqa: ANN401 (Gunicorn's, which has no types)
    """Say whose the socket is; Gunicorn itself has got it from our supervisor and cannot know."""
    arbiter.systemd = "LISTEN_FDS" in os.environ
