"""A worker process of a local sweep: ``python -P -m analysis.sweep_worker ADDRESS NAME``.

Its standard input is a pipe whose other end the sweep holds. When that closes, however the sweep ended, so does this
process: nothing is left behind by a ``kill -9``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading


def _end_with_the_sweep() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


async def _serve(address: str, name: str) -> None:
    from distributed import Worker

    async with Worker(address, name=name, nthreads=1, dashboard=False, memory_limit=0, death_timeout="60s") as worker:
        await worker.finished()


def main() -> None:
    """Serve the scheduler until it, or the sweep, is gone."""
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    asyncio.run(_serve(*sys.argv[1:3]))


if __name__ == "__main__":
    main()
