"""What physics-aware training found, and its checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.checkpoint_folder import claim
from learning.physics_aware.layout import PassLayout
from learning.physics_aware.network import PhysicalNetwork
from learning.physics_aware.settings import PatTraining
from learning.pytorch import pytorch
from learning.samples.problem import fingerprint
from learning.samples.samples import SampleSet

torch: Any = pytorch()


@dataclass(eq=False)
class Record:
    """What was seen during a training: lists over looks, and counts."""

    epoch: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    angle_deg: list[FloatArray] = field(default_factory=list)
    forward_samples_at: list[int] = field(default_factory=list)
    model_errors: list[tuple[int, float]] = field(default_factory=list)  # epoch, error before the refit
    failed: list[tuple[int, int]] = field(default_factory=list)  # epoch, sample
    reasons: dict[int, str] = field(default_factory=dict)  # by failed sample: the first time's, where one was told
    forward_samples: int = 0
    confusion: Any = None

    def state(self) -> dict[str, Any]:
        """As plain numbers and tensors."""
        return {
            **asdict(self),
            "angle_deg": torch.tensor(np.array(self.angle_deg)),
            "confusion": torch.tensor(self.confusion),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Record:
        """What `state` gave."""
        angles, confusion = state["angle_deg"].numpy(), state["confusion"].numpy()
        return cls(**{**state, "angle_deg": list(angles), "confusion": confusion})


@dataclass(frozen=True, eq=False)
class PatResult:
    """A trained network and how it came about.

    Attributes
    ----------
    network : PhysicalNetwork
        With its model as it is at the end.
    training : PatTraining
    record : Record
    task : str
    """

    network: PhysicalNetwork
    training: PatTraining
    record: Record
    task: str

    @property
    def accuracy(self) -> float:
        """Of the test samples (the training samples if there are none) at the end, on the system."""
        last = self.record.test_accuracy[-1]
        return last if np.isfinite(last) else self.record.accuracy[-1]

    @property
    def failed_samples(self) -> list[int]:
        """Training samples for which the system failed at least once."""
        return sorted({sample for _, sample in self.record.failed})

    @property
    def failures(self) -> list[str]:
        """A line for each sample for which the system failed, with what it said of it."""
        return [f"{sample}: {self.record.reasons.get(sample, 'no number')}" for sample in self.failed_samples]

    def dataset(self) -> xr.Dataset:
        """Curves over the looks (``epoch``), confusion matrix (true by chosen class) and parameters.

        ``loss``, ``accuracy``, ``test_accuracy``, ``forward_samples`` (through the system, in training) over epoch;
        ``angle_deg`` over epoch and pass; ``confusion`` of the test samples; ``scale``, ``offset`` over pass and
        input, ``skip`` over pass and output, ``gain`` over class; ``model_error`` over refit_epoch, before each refit.
        """
        record, one = self.record, {"units": "1"}
        refits = np.array(record.model_errors, dtype=float).reshape(-1, 2)
        data = {
            "loss": ("epoch", record.loss, one),
            "accuracy": ("epoch", record.accuracy, one),
            "test_accuracy": ("epoch", record.test_accuracy, one),
            "forward_samples": ("epoch", record.forward_samples_at, one),
            "angle_deg": (("epoch", "pass"), np.array(record.angle_deg), {"units": "deg"}),
            "confusion": (("class", "chosen"), record.confusion, one),
            "model_error": ("refit_epoch", refits[:, 1], one),
        }
        dims = {"scale": ("pass", "input"), "offset": ("pass", "input"), "skip": ("pass", "output"), "gain": ("class",)}
        data |= {name: (dims[name], value.detach().numpy().copy(), one) for name, value in self.parameters().items()}
        attrs = {
            "task": self.task, "training": json.dumps(asdict(self.training)), "failed_samples": self.failed_samples,
            "failures": "\n".join(self.failures), "forward_samples": record.forward_samples,
        }  # fmt: skip
        coords = {"epoch": record.epoch, "refit_epoch": refits[:, 0].astype(int)}
        return xr.Dataset(data, coords=coords, attrs=attrs)

    def parameters(self) -> dict[str, Any]:
        """Trained parameters by name."""
        return dict(self.network.named_parameters())


def claim_folder(
    folder: Path | None, training: PatTraining, samples: SampleSet, layout: PassLayout, seed: int
) -> Path | None:
    """Make the folder of a checkpoint, or see that it belongs to this training; the checkpoint's path."""
    if folder is None:
        return None
    facts = {**asdict(training), "task": samples.name, "samples": fingerprint(samples), "seed": seed}
    facts["layout"] = [layout.passes, *(wiring.tolist() for wiring in layout.wirings)]
    claim(folder, facts)
    return folder / "checkpoint.pt"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a run killed while writing leaves the one before."""
    part = path.with_suffix(".part")
    torch.save({**state, "rngs": json.dumps(state["rngs"])}, part)
    part.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain numbers only.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        return {**state, "rngs": json.loads(state["rngs"])}
    except Exception as error:  # torch raises a dozen kinds here
        raise InputError("checkpoint", str(path), "cannot be read", "delete it and start again") from error
