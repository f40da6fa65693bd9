import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

PARENT = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from core.workers import end_with_parent

pool = ProcessPoolExecutor(1, get_context("spawn"), end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(signal.pause).result()
"""


def test_a_worker_at_work_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            # The worker holds the same pipe: its end is read when the last process that writes to it is gone.
            ended, _, _ = select.select([parent.stdout], [], [], 20)
            assert ended
            assert parent.stdout.read() == b""
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
