"""A console script of the tests' own, which shows how it was started and ends as it is told."""

import os
import signal
import sys


def main() -> object:
    what, *words = sys.argv[1:]
    if what == "show":
        print(sys.argv[0], words, os.getcwd(), os.environ.get("PROBE"), sys.stdin.read(), os.getppid() > 1)
        print("aside", file=sys.stderr)
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
        print(os.getpid(), flush=True)
        while True:
            signal.pause()
    return "unknown"
