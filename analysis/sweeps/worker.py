"""A worker process of a local sweep: ``python -P -m analysis.sweeps.worker ADDRESS NAME FOLDER PARENT``.

It ends with the sweep, however that ends: nothing is left behind by a ``kill -9``. Its standard input is a pipe whose
other end the sweep holds, and on Linux the kernel ends it, too, in the middle of a compiled function that lets no
Python thread run.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def _end_with_the_sweep(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it is gone already
        os._exit(1)
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


async def _serve(address: str, name: str, folder: str) -> None:
    from distributed import Worker

    async with Worker(
        address, name=name, nthreads=1, dashboard=False, memory_limit=0, death_timeout="60s", local_directory=folder
    ) as worker:
        await worker.finished()


def main() -> None:
    """Serve the scheduler until it, or the sweep, is gone."""
    address, name, folder, parent = sys.argv[1:5]
    _end_with_the_sweep(int(parent))
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    asyncio.run(_serve(address, name, folder))


if __name__ == "__main__":
    main()
