"""Physical systems put together for a set of samples: as drawn, as built, and how the samples go through.

The model of a layer is fitted to the system *as drawn*: components at their nominal values, no noise. What is trained
is the system *as built*: components that deviate by `spread`, noise on what goes in and comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from circuits.ngspice.engine import Engine
from circuits.ngspice.pool import EnginePool
from circuits.physics_aware.rlc_layer import RlcLayer
from inmateria.checks import count, not_negative
from inmateria.errors import InputError
from learning.choices import LayerName
from learning.physics_aware.circuit_system import RlcSystem
from learning.physics_aware.device_system import DeviceSystem
from learning.physics_aware.layout import PassLayout, node_layout, waveform_layout
from learning.physics_aware.systems import IdentitySystem
from learning.samples.samples import SampleSet

if TYPE_CHECKING:
    from learning.physics_aware.digital_models import DigitalModel


@dataclass(frozen=True)
class LayerSettings:
    """Which layer, how large, how well built.

    Parameters
    ----------
    layer : {"rlc", "dnpu", "identity"}
        The electronic layer; nodes of a device; nothing at all, to see what the physics is good for.
    width : int, optional
        Values of a waveform, or nodes of the device; by default four values for each feature, one for each pixel of an
        image, and 28 nodes.
    passes : int
        Times a sample goes through.
    spread : float
        Relative standard deviation of the components, unknown to the model.
    noise_V : float
        Standard deviation of white noise, V: at the output, and at the electronic layer's input.
    steps : int
        Time steps of the electronic layer between two values.
    taps : int
        Values of the waveform that the electronic layer's model looks back, the present one included.

    Raises
    ------
    InputError
        For another layer, or numbers that are none of these.
    """

    layer: LayerName = "rlc"
    width: int | None = None
    passes: int = 3
    spread: float = 0.05
    noise_V: float = 0.01
    steps: int = 2
    taps: int = 16

    def __post_init__(self) -> None:
        if self.layer not in get_args(LayerName):
            raise InputError(
                "layer", self.layer, "is no physical layer", f"choose from {', '.join(get_args(LayerName))}"
            )
        for name in ("width", "passes", "steps", "taps"):
            if (value := getattr(self, name)) is not None:
                count(name, value)
        if not 0 <= self.spread <= 0.3:
            raise InputError("spread", self.spread, "is no spread of components", "give a fraction from 0 to 0.3")
        not_negative("noise_V", self.noise_V, "V")


@dataclass(frozen=True, eq=False)
class PhysicalSetup:
    """What `train_physics_aware` needs beside its settings.

    Attributes
    ----------
    drawn, built : PhysicalSystem
        What the model is fitted to, and what is trained.
    layout : PassLayout
    taps : int
        Of a waveform's model.
    """

    drawn: Any
    built: Any
    layout: PassLayout
    taps: int = 16

    def model(self, seed: int = 0) -> DigitalModel:
        """A model of the system's shape, not fitted yet."""
        from learning.physics_aware.digital_models import DenseModel, WaveformModel

        if isinstance(self.drawn, DeviceSystem):
            return DenseModel(self.drawn.inputs, self.drawn.outputs, nodes=self.drawn.nodes, seed=seed)
        return WaveformModel(self.drawn.inputs, self.taps, seed=seed)


def physical_setup(
    settings: LayerSettings,
    samples: SampleSet,
    *,
    board: int = 0,
    engines: Engine | EnginePool | None = None,
    device: Any = None,
    output: int = 0,
) -> PhysicalSetup:
    """Put a physical network together. A sample at which ngspice fails is left to the training: its row is NaN.

    Parameters
    ----------
    settings : LayerSettings
    samples : SampleSet
        Their features and classes.
    board : int
        Seed of what was built: the components' deviations.
    engines : Engine or EnginePool, optional
        Of the electronic layer; without them its compiled twin answers.
    device : Device, optional
        Of the layer dnpu.
    output : int
        Its terminal that is read; the others are driven.

    Raises
    ------
    InputError
        For a width that does not hold the features and classes, or a missing device.
    """
    features, classes = samples.inputs.shape[1], samples.targets.shape[1]
    if settings.layer == "dnpu":
        if device is None:
            raise InputError("device", None, "is needed for the layer dnpu", "name the file of a measured chip")
        electrodes = tuple(k for k in range(len(device.terminals)) if k != output)
        nodes = settings.width or 4 * classes
        drawn = DeviceSystem(device, nodes, output, electrodes)
        chip = DeviceSystem(device, nodes, output, electrodes, noise_V=settings.noise_V)
        layout = node_layout(features, drawn.inputs, nodes, settings.passes, classes)
        return PhysicalSetup(drawn, chip.perturbed(settings.spread, board), layout)
    width = settings.width or (4 * features if features < 50 else features)
    layout = waveform_layout(features, width, settings.passes, classes)
    if settings.layer == "identity":
        identity = IdentitySystem(width, noise_V=settings.noise_V)
        return PhysicalSetup(IdentitySystem(width), identity, layout, settings.taps)
    made = RlcLayer.board(width, settings.spread, board, steps=settings.steps)
    noise = {"input_noise_V": settings.noise_V, "output_noise_V": settings.noise_V}
    drawn_board = RlcLayer(width, steps=settings.steps)
    built = RlcSystem(made, engines, **noise, skip=True)
    return PhysicalSetup(RlcSystem(drawn_board, engines), built, layout, settings.taps)
