"""One thread for the transistors of a deck.

ngspice evaluates BSIM3, BSIM4 and BSIMSOI transistors on two OpenMP threads that wait for each other at every
iteration. A ring of six BSIM4 transistors took 9 to 26 times as long as on one thread, on a machine whose two
processors had other work. ngspice sets that number by itself, so ``OMP_NUM_THREADS`` counts for nothing.
"""

from __future__ import annotations

import re

ONE_THREAD = ".option num_threads=1"
"""A build without OpenMP passes over it in silence."""

_END = re.compile(r"^[ \t]*\.end\b", re.MULTILINE | re.IGNORECASE)


def on_one_thread(deck: str) -> str:
    """A deck with `ONE_THREAD` as its last card: of several such options ngspice takes the first, so a user's counts.

    Parameters
    ----------
    deck : str
        Begins with the title line.
    """
    title, _, body = deck.partition("\n")
    if ONE_THREAD in body.split("\n"):
        return deck
    end = _END.search(body)
    place = len(body) if end is None else end.start()
    before = body[:place]
    gap = "\n" if before and not before.endswith("\n") else ""
    return f"{title}\n{before}{gap}{ONE_THREAD}\n{body[place:]}"
