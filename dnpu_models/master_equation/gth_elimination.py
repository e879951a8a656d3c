"""Markov chains solved without subtractions: stationary distribution and linear response of a levelled chain.

States are eliminated in the manner of Grassmann, Taksar and Heyman (Oper. Res. 33, 1107 (1985)), each pivot being the
sum of the rates that are left, so that the distribution comes out with a small *relative* error in every entry, however
many orders of magnitude the rates span (C. A. O'Cinneide, Numer. Math. 65, 109 (1993)). Rates join neighbouring levels
only, so the states go level by level, in dense blocks. A frequency is a rate i omega to nowhere, from every state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError

SMALLEST = 1e-290
"""Rates below this times nu_0 are none: they would lose digits."""

PANEL = 128  # states eliminated with one matrix product
ROWS = 2048  # rows of a trailing block updated at once: bounds temporary memory

IntArray = NDArray[np.int64]


class _Panel(NamedTuple):
    """States eliminated together: `here`, with `rest` the states still there that they reach, or are reached from."""

    here: IntArray
    rest: IntArray
    arrive: Any  # (D - L)^-1: sums up what the panel's states hand on to each other before leaving
    depart: Any  # (1 - P)^-1 of the panel's own block
    probability: Any  # (here, rest): where the next step leads
    rate: Any  # (rest, here): rates into each state when it was eliminated
    inner: Any  # (here, here): those within the panel, below the diagonal
    pivots: Any  # (here,): rate out of each state when it was eliminated


class Elimination:
    """i omega - Q eliminated state by state, from the fullest and the emptiest level towards that of `last`.

    Parameters
    ----------
    rates : sparse csr array, shape (n, n)
        Rates [from, to] in nu_0, zero on the diagonal; irreducible.
    holes : ndarray of int, shape (n,)
        Level of each state; rates join neighbouring levels only.
    last : int, optional
        State to keep until the end; best a likely one.
    omega : float
        Angular frequency in nu_0.
    """

    def __init__(self, rates: Any, holes: IntArray, last: int | None = None, omega: float = 0.0) -> None:
        self.size, self.omega = len(holes), omega
        levels = np.unique(holes)
        if last is None:
            last = int(np.nonzero(holes == levels[len(levels) // 2])[0][-1])
        self.last = last
        members = {int(n): np.nonzero(holes == n)[0] for n in levels}
        centre = int(holes[last])
        members[centre] = np.append(members[centre][members[centre] != last], last)
        above, below = [n for n in members if n > centre], [n for n in members if n < centre]
        parents = [(n, n - 1) for n in reversed(above)] + [(n, n + 1) for n in below]
        self._lost = np.full(self.size, 1j * omega) if omega else np.zeros(self.size)
        self.panels: list[_Panel] = []
        pending: dict[int, Any] = {}
        for level, parent in parents:
            here, rest = members[level], members[parent]
            front = self._front(rates, here, rest, pending.pop(level, None))
            self._eliminate(front, np.concatenate([here, rest]), len(here))
            update = front[len(here) :, len(here) :]
            pending[parent] = pending[parent] + update if parent in pending else update
        here = members[centre]
        front = self._front(rates, here, here[:0], pending.pop(centre, None))
        self._eliminate(front, here, len(here) - 1)

    def _front(self, rates: Any, here: IntArray, rest: IntArray, update: Any) -> Any:
        m, both = len(here), np.concatenate([here, rest])
        front = np.zeros((len(both), len(both)), dtype=self._lost.dtype)
        front[:m] = rates[here][:, both].toarray()
        front[m:, :m] = rates[rest][:, here].toarray()
        if update is not None:
            front[:m, :m] += update
        return front

    def _eliminate(self, front: Any, states: IntArray, count: int) -> None:
        """Eliminate the first `count` of `states` from the dense block `front`; all in its place."""
        for first in range(0, count, PANEL):
            end = min(first + PANEL, count)
            here, rest = states[first:end], states[end:]
            block, right, left = front[first:end, first:end], front[first:end, end:], front[end:, first:end]
            away = right.sum(axis=1) + self._lost[here]
            pivots = np.empty(len(here), dtype=front.dtype)
            for r in range(len(here)):
                pivot = block[r, r + 1 :].sum() + away[r]
                if not abs(pivot) > SMALLEST:
                    raise underflow()
                pivots[r] = pivot
                block[r, r + 1 :] /= pivot
                block[r + 1 :, r + 1 :] += block[r + 1 :, r, None] * block[r, r + 1 :]
                away[r + 1 :] += block[r + 1 :, r] * (away[r] / pivot)
            one = np.eye(len(here), dtype=front.dtype)
            inner = np.tril(block, -1)
            arrive = linalg.solve_triangular(np.diag(pivots) - inner, one, lower=True, check_finite=False)
            depart = linalg.solve_triangular(
                one - np.triu(block, 1), one, lower=False, unit_diagonal=True, check_finite=False
            )
            right[:] = arrive @ right
            left[:] = left @ depart
            self._lost[rest] += left @ (arrive @ self._lost[here])
            for row in range(0, len(rest), ROWS):
                front[end + row : end + row + ROWS, end:] += left[row : row + ROWS] @ right
            self.panels.append(_Panel(here, rest, arrive, depart, right, left, inner, pivots))

    def stationary(self) -> FloatArray:
        """Stationary distribution (omega = 0 only); logarithms, because ratios may exceed the largest number."""
        log_p = np.zeros(self.size)
        with np.errstate(divide="ignore"):
            for panel in reversed(self.panels):
                inner, pivots = np.log(panel.inner), np.log(panel.pivots)
                arriving = _log_sum(log_p[panel.rest, None] + np.log(panel.rate))
                found = np.full(len(panel.here), -np.inf)
                for r in range(len(panel.here) - 1, -1, -1):
                    within = _log_sum(found[r + 1 :] + inner[r + 1 :, r]) if r + 1 < len(found) else -np.inf
                    found[r] = np.logaddexp(arriving[r], within) - pivots[r]
                log_p[panel.here] = found
        p = np.exp(log_p - log_p.max())
        return np.asarray(p / p.sum())

    def solve(self, given: FloatArray, p: FloatArray) -> Any:
        """X of (i omega - Q) X = `given`, (n, m), for p given = 0; the X with p X = 0."""
        load = given.astype(self._lost.dtype)
        x = np.zeros((self.size, given.shape[1] + 1), dtype=load.dtype)
        for panel in self.panels:
            x[panel.here, :-1] = panel.arrive @ load[panel.here]
            load[panel.rest] += panel.rate @ x[panel.here, :-1]
        x[self.last, -1] = 1.0  # the solution with x[last] = 0, and the one without load
        for panel in reversed(self.panels):
            x[panel.here] = panel.depart @ (x[panel.here] + panel.probability @ x[panel.rest])
        mean = p @ x
        return x[:, :-1] - x[:, -1:] * (mean[:-1] / mean[-1])


def _log_sum(values: FloatArray) -> Any:
    """log(sum(exp(values))) over the first axis; -inf where all are."""
    top = np.maximum(values.max(axis=0), -1e300)
    return top + np.log(np.exp(values - top).sum(axis=0))


def underflow() -> ConvergenceError:
    """What to raise where states have no way out."""
    problem = "rates fall below the smallest number and leave occupations without a way out"
    return ConvergenceError("voltages", "rates", problem, "raise temperature_K or lower the voltages")
