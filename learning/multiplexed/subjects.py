"""What a run of multiplexed gradient descent trains: a network on its samples, its start, and how it is looked at."""

from __future__ import annotations

import numpy as np

from inmateria.checks import FloatArray
from learning.multiplexed.sigmoid_network import SigmoidNetwork, mean_square, share_right
from learning.samples.problem import Look, Problem
from learning.samples.samples import SampleSet


class SigmoidSubject:
    """A network of sigmoid neurons with its own defects and start; what it is made with is as in `MgdTraining`."""

    def __init__(
        self, samples: SampleSet, seed: int, *, batch: int, shuffled: bool, defects: float, start_spread: float
    ) -> None:
        neurons, start = np.random.default_rng([seed, 7]).spawn(2)
        self._samples = samples
        self.network = SigmoidNetwork(samples.sizes).with_defects(defects, neurons)
        self.start = self.network.start(start, start_spread)
        order = seed if shuffled else None
        self.cost = self.network.data(samples.inputs, samples.targets, batch=batch, order_seed=order)

    def look(self, theta: FloatArray) -> Look:
        """See all samples."""
        net, held = self.network, self._samples
        test = net.accuracy(theta, held.test_inputs, held.test_targets) if len(held.test_inputs) else float("nan")
        outputs = net.outputs(theta, held.inputs)
        return Look(mean_square(outputs, held.targets), share_right(outputs, held.targets), test)

    def gradient(self, theta: FloatArray) -> FloatArray:
        """Exact gradient of the cost of all samples."""
        return self.network.gradient(theta, self._samples.inputs, self._samples.targets)


def layout(problem: Problem) -> str:
    """The network in a few letters: 2-2-1, or 1x28x28-16-32-32-10."""
    if isinstance(problem, SampleSet):
        return "-".join(map(str, problem.sizes))
    from learning.multiplexed.image_network import CHANNELS

    pixels = "x".join(map(str, problem.images.shape[1:]))
    return "-".join(map(str, (pixels, *CHANNELS[problem.name], 10)))


def parameters_of(problem: Problem) -> int:
    """Number of parameters, P."""
    if isinstance(problem, SampleSet):
        return SigmoidNetwork(problem.sizes).parameters
    from learning.multiplexed.image_network import parameter_count

    return parameter_count(problem)
