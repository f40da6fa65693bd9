"""A console script of the tests' own, which shows how it was started and ends as it is told."""

import os
import signal
import sys
from pathlib import Path


def main() -> object:
    what, *words = sys.argv[1:]
    if what == "show":
        said = [sys.argv[0], words, Path.cwd(), os.environ.get("PROBE"), sys.stdin.read()]
        sys.stdout.write(" ".join(str(word) for word in said))
        sys.stderr.write("aside")
        return None
    if what == "raise":
        raise ValueError("a bug")
    if what == "exit":
        sys.exit(int(words[0]))
    if what == "words":
        sys.exit("it cannot go on")
    if what == "return":
        return int(words[0])
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        sys.stdout.write(f"{os.getpid()}\n")
        sys.stdout.flush()
        while True:
            signal.pause()
    return "unknown"
