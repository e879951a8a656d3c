"""A small smooth network for one terminal's current near the settings where it is needed; made to become a netlist."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError

HELD_OUT = 0.1
"""Share of the samples that the fit does not see."""


@dataclass(frozen=True, eq=False)
class TanhNetwork:
    """I = offset + scale W_n tanh(... tanh(W_1 x + b_1) ...) + ..., x the voltages scaled to +-1 over the samples.

    Attributes
    ----------
    weights, biases : tuple of ndarray
        (n_out, n_in) and (n_out,) of each layer; the first takes the terminal voltages in V, the last gives A.
    rms_A : float
        Root mean square error on samples that the fit did not see, A.
    spread_A : float
        Standard deviation of the current over those samples, A.
    """

    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    rms_A: float
    spread_A: float

    def current(self, voltages: Any) -> FloatArray:
        """Current (A) at terminal voltages (V) of shape (..., n_terminals)."""
        value = np.asarray(voltages, dtype=float)
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = value @ weight.T + bias
            if k < len(self.weights) - 1:
                value = np.tanh(value)
        return np.asarray(value[..., 0])


def fit_tanh(
    voltages: Any, currents_A: Any, *, hidden: Sequence[int] = (16, 16), iterations: int = 400, seed: int = 0
) -> TanhNetwork:
    """Fit a `TanhNetwork` to samples (scikit-learn, L-BFGS).

    Parameters
    ----------
    voltages : array_like, shape (n, n_terminals)
        V; a terminal whose voltage does not change is no input.
    currents_A : array_like, shape (n,)
    hidden : sequence of int
        Units of each hidden layer.
    iterations : int
        At most.
    seed : int
        Decides initial weights and which samples are held out.

    Raises
    ------
    InputError
        For samples that are too few, of different number or not finite, or hidden layers that are none.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    x, y = np.asarray(voltages, dtype=float), np.asarray(currents_A, dtype=float)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(y) < 100:
        raise InputError("voltages", x.shape, f"do not fit {y.shape} currents, or are fewer than 100", "give more")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise InputError("currents_A", "NaN", "samples must be finite", "leave those settings out")
    if not hidden or any(units < 1 for units in hidden):
        raise InputError("hidden", list(hidden), "are no layers", "give units of each layer, e.g. (16, 16)")
    low, high = x.min(axis=0), x.max(axis=0)
    moved = np.nonzero(high - low > 0)[0]
    middle, half = 0.5 * (low + high)[moved], 0.5 * (high - low)[moved]
    order = np.random.default_rng(seed).permutation(len(y))
    seen, unseen = np.split(order, [len(y) - int(HELD_OUT * len(y))])
    offset, scale = float(y[seen].mean()), float(y[seen].std()) or 1.0
    model = MLPRegressor(
        hidden_layer_sizes=tuple(hidden), activation="tanh", solver="lbfgs", alpha=1e-6, tol=1e-9, random_state=seed,
        max_iter=iterations, max_fun=100 * iterations,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # how far it came is told by the held-out error
        model.fit((x[seen][:, moved] - middle) / half, (y[seen] - offset) / scale)
    weights = [np.asarray(w, dtype=float).T for w in model.coefs_]
    biases = [np.asarray(b, dtype=float) for b in model.intercepts_]
    first = np.zeros((weights[0].shape[0], x.shape[1]))
    first[:, moved] = weights[0] / half
    biases[0] = biases[0] - first[:, moved] @ middle
    weights[0] = first
    weights[-1], biases[-1] = scale * weights[-1], scale * biases[-1] + offset
    network = TanhNetwork(tuple(weights), tuple(biases), np.nan, float(y[unseen].std()))
    rms = float(np.sqrt(np.mean((network.current(x[unseen]) - y[unseen]) ** 2)))
    return TanhNetwork(network.weights, network.biases, rms, network.spread_A)
