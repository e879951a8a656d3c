"""Physics-aware training of a physical system on a set of samples, with looks, refits of the model and checkpoints.

Cross-entropy of a batch plus the penalty for overdrive, by AdamW. In every mode, accuracies are the system's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, InputError, Interrupted
from learning.angles import angle_deg
from learning.physics_aware.layout import PassLayout
from learning.physics_aware.model_fit import refit
from learning.physics_aware.network import NetworkRun, PhysicalNetwork
from learning.physics_aware.result import PatResult, Record, claim_folder, load_checkpoint, save_checkpoint
from learning.physics_aware.settings import PatTraining
from learning.pytorch import Tensor, pytorch
from learning.samples.samples import SampleSet

torch: Any = pytorch()

_TOGETHER = 500  # samples of a look that go through the system at once

PatProgress = Callable[[int, int, float, float], None]
"""Takes epochs done, epochs in all, accuracies of the training and of the test samples at the last look."""


def train_physics_aware(
    training: PatTraining,
    system: Any,
    model: Any,
    samples: SampleSet,
    *,
    layout: PassLayout,
    seed: int = 0,
    folder: Path | None = None,
    progress: PatProgress | None = None,
) -> PatResult:
    """Train scales and offsets in front of a physical system.

    Parameters
    ----------
    training : PatTraining
    system : PhysicalSystem
    model : DigitalModel or None
        Its model, which the mode ideal does without. It is left as it is: refits are done on a copy.
    samples : SampleSet
        Classes as ones among zeros. Features are scaled together to mean 0 and standard deviation 1.
    layout : PassLayout
    seed : int
        Of the start, the order of the samples and the system's noise.
    folder : Path, optional
        For a checkpoint after each epoch: a run that was stopped goes on from there, to the identical path.
    progress : callable, optional
        See `PatProgress`.

    Returns
    -------
    PatResult

    Raises
    ------
    InputError
        For samples, a layout, a model and a system that do not fit, or a folder with another training's checkpoint.
    ConvergenceError
        If the system fails for a sample and `on_failure` is stop, or for all samples of a look.
    Interrupted
        On Ctrl-C; ``partial`` is the result of the epochs that were done.
    """
    if samples.inputs.shape[1] != layout.features or samples.targets.shape[1] != layout.classes:
        found = f"{samples.inputs.shape[1]} features, {samples.targets.shape[1]} classes"
        raise InputError("samples", found, f"do not fit the layout's {layout.features}, {layout.classes}", "remake it")
    run = _Run(training, system, model, samples, layout, seed)
    checkpoint = claim_folder(folder, training, samples, layout, seed)
    try:
        run.go(checkpoint, progress)
    except Interrupted as interruption:
        interruption.partial = run.result()
        raise
    except KeyboardInterrupt:
        stopped = Interrupted("training", f"epoch {run.epoch + 1}", "was stopped", "what was done so far is kept")
        stopped.partial = run.result()
        raise stopped from None
    return run.result()


def scaled_features(samples: SampleSet, features: FloatArray) -> Tensor:
    """Features as the network is shown them: the training samples have mean 0 and standard deviation 1 together."""
    return torch.tensor((features - samples.inputs.mean()) / (samples.inputs.std() or 1.0))


class _Run:
    """One training: what changes while it goes on is all in `state`."""

    def __init__(
        self, training: PatTraining, system: Any, model: Any, samples: SampleSet, layout: PassLayout, seed: int
    ) -> None:
        self.training, self.samples, self.epoch = training, samples, 0
        model = copy.deepcopy(model) if training.refit_every else model
        self.network = PhysicalNetwork(system, model, layout=layout, mode=training.mode, seed=seed)
        self.x, self.test_x = (scaled_features(samples, part) for part in (samples.inputs, samples.test_inputs))
        self.y, self.test_y = (
            torch.tensor(np.argmax(part, axis=1) if part.size else np.empty(0, int))
            for part in (samples.targets, samples.test_targets)
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=training.rate, weight_decay=training.weight_decay, betas=(0.9, 0.99)
        )
        self.rngs = {
            name: np.random.default_rng([seed, k]) for k, name in enumerate(("order", "noise", "look", "refit"), 51)
        }
        self.record = Record()
        self.measured: list[tuple[FloatArray, FloatArray]] = []

    def go(self, checkpoint: Path | None, progress: PatProgress | None) -> None:
        """Run to the end, from the checkpoint if there is one."""
        if checkpoint is not None and checkpoint.exists():
            self.restore(load_checkpoint(checkpoint))
        else:
            self.look()
        training = self.training
        while self.epoch < training.epochs:
            self.one_epoch()
            self.epoch += 1
            if training.refit_every and self.epoch % training.refit_every == 0:
                self.refit()
            if self.epoch in training.looks():
                self.look()
            if checkpoint is not None:
                save_checkpoint(checkpoint, self.state())
            if progress is not None:
                progress(self.epoch, training.epochs, self.record.accuracy[-1], self.record.test_accuracy[-1])

    def one_epoch(self) -> None:
        """All samples once, in a new order."""
        training = self.training
        batches = torch.tensor(self.rngs["order"].permutation(len(self.x))).split(training.batch)
        for place, chosen in enumerate(batches):
            share = (self.epoch + place / len(batches)) / training.epochs
            for group in self.optimiser.param_groups:
                group["lr"] = training.rate_at(share)
            self.optimiser.zero_grad()
            shown = self.x[chosen]
            if training.jitter:
                shown = shown + training.jitter * torch.tensor(self.rngs["order"].standard_normal(shown.shape))
            done = self.network.run(shown, self.noise("noise"))
            if training.mode != "in-silico":
                self.keep(done)
                self.failures(done, chosen)
            good = torch.tensor(~done.failed)
            if not good.any():
                continue
            loss = self.loss(done, self.y[chosen], good)
            loss.backward()
            self.optimiser.step()
            if not all(bool(torch.isfinite(p).all()) for p in self.network.parameters()):
                what = f"the training ran away in epoch {self.epoch + 1}"
                raise ConvergenceError("loss", float(loss.detach()), what, "take a smaller learning rate")

    def loss(self, done: NetworkRun, classes: Tensor, good: Tensor) -> Tensor:
        """Cross-entropy of the samples that were answered, and the penalty."""
        missed = torch.nn.functional.cross_entropy(done.scores[good], classes[good])
        return missed + self.training.overdrive_penalty * done.overdrive

    def keep(self, done: NetworkRun) -> None:
        """Count what went through the system, and keep the latest of it for refits."""
        self.record.forward_samples += sum(map(len, done.values_V))
        if self.training.refit_every:
            self.measured += list(zip(done.values_V, done.responses_V, strict=True))
            while sum(len(v) for v, _ in self.measured[1:]) >= self.training.refit_samples:
                del self.measured[0]

    def failures(self, done: NetworkRun, chosen: Tensor) -> None:
        """Name the samples for which the system failed."""
        for place in np.flatnonzero(done.failed):
            sample, reason = int(chosen[place]), done.reasons.get(int(place))
            self.record.failed.append((self.epoch, sample))
            if reason is not None:
                self.record.reasons.setdefault(sample, reason)
            if self.training.on_failure == "stop":
                said = "" if reason is None else f": {reason}"
                what = f"the system failed for it in epoch {self.epoch + 1}{said}"
                raise ConvergenceError("sample", sample, what, "or give on_failure='skip'")

    def refit(self) -> None:
        """Fit the model on to what was measured last."""
        if self.measured:
            values, responses = (np.concatenate(parts) for parts in zip(*self.measured, strict=True))
            error = refit(
                self.network.model, values, responses, epochs=self.training.refit_epochs, rng=self.rngs["refit"]
            )
            self.record.model_errors.append((self.epoch, error))

    def look(self) -> None:
        """Accuracies and cost on the system, and the angle between the gradient used and the true one."""
        record, first = self.record, self.training.look_samples
        cost, scores = self.answers(self.x[:first], self.y[:first])
        _, test_scores = self.answers(self.test_x, self.test_y)
        record.epoch.append(self.epoch)
        record.loss.append(cost)
        record.accuracy.append(_share(scores, self.y[:first]))
        record.test_accuracy.append(_share(test_scores, self.test_y))
        record.angle_deg.append(self.angles())
        record.forward_samples_at.append(record.forward_samples)
        truth = self.test_y if len(self.test_y) else self.y[:first]
        chosen = test_scores if len(self.test_y) else scores
        classes = len(self.network.layout.windows)
        record.confusion = np.zeros((classes, classes), dtype=int)
        np.add.at(record.confusion, (truth[chosen >= 0].numpy(), chosen[chosen >= 0].numpy()), 1)

    def answers(self, features: Tensor, classes: Tensor) -> tuple[float, Tensor]:
        """Mean cross-entropy and chosen classes (-1 where the system failed), through the system."""
        chosen, cost, answered = [torch.empty(0, dtype=torch.long)], 0.0, 0
        with torch.no_grad():
            for x, y in zip(features.split(_TOGETHER), classes.split(_TOGETHER), strict=True):
                if not len(x):
                    continue
                done = self.network.run(x, self.noise("look"), mode=self.on_system())
                good = torch.tensor(~done.failed)
                cost += float(torch.nn.functional.cross_entropy(done.scores[good], y[good], reduction="sum"))
                answered += int(good.sum())
                chosen.append(torch.where(good, done.scores.argmax(dim=1), -1))
        if len(features) and not answered:
            raise ConvergenceError("system", 0, f"of {len(features)} samples were answered", "look at its inputs")
        return (cost / answered if answered else float("nan")), torch.cat(chosen)

    def angles(self) -> FloatArray:
        """Angle, for each pass, between the gradient used and the system's own at the same measured values, degrees."""
        passes, network, count = self.network.layout.passes, self.network, self.training.angle_samples
        if not (count and hasattr(network.system, "vector_jacobian")):
            return np.full(passes, np.nan)
        noise = self.rngs["look"].integers(2**63)
        found = []
        for mode in (self.training.mode, "ideal"):
            rng = np.random.default_rng(noise) if self.training.noise else None
            done = network.run(self.x[:count], rng, mode=mode)
            good = torch.tensor(~done.failed)
            wanted = [network.scale, network.offset]
            slopes = torch.autograd.grad(self.loss(done, self.y[:count], good), wanted)
            found.append(torch.cat(slopes, dim=1).numpy())
        return np.array([angle_deg(*pair) for pair in zip(*found, strict=True)])

    def noise(self, stream: str) -> np.random.Generator | None:
        """The generator of the system's noise, where it has any."""
        return self.rngs[stream] if self.training.noise else None

    def on_system(self) -> str:
        """A mode that runs the system."""
        return "ideal" if self.training.mode == "ideal" else "pat"

    def state(self) -> dict[str, Any]:
        """All that changes, for the checkpoint."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "model": self.network.model.state_dict() if self.training.refit_every else {},
            "rngs": {name: rng.bit_generator.state for name, rng in self.rngs.items()},
            "record": self.record.state(),
            "measured": [(torch.tensor(v), torch.tensor(y)) for v, y in self.measured],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a checkpoint."""
        self.epoch = state["epoch"]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.training.refit_every:
            self.network.model.load_state_dict(state["model"])
        for name, rng in self.rngs.items():
            rng.bit_generator.state = state["rngs"][name]
        self.record = Record.from_state(state["record"])
        self.measured = [(v.numpy(), y.numpy()) for v, y in state["measured"]]

    def result(self) -> PatResult:
        """What was found so far."""
        return PatResult(self.network, self.training, self.record, self.samples.name)


def _share(chosen: Tensor, truth: Tensor) -> float:
    return float((chosen == truth).double().mean()) if len(truth) else float("nan")
