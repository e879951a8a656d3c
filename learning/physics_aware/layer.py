"""Physics-aware training's layer: forwards the physical system, backwards a differentiable model of it.

    forward    y = f(x)                       measured
    backward   dL/dx = (dm/dx)^T dL/dy        of the model m, at the measured x

(Wright et al., Nature 601, 549, 2022). Layers in a row hand on what was measured, so errors of the model do not add up
from layer to layer as they do in silico; only the direction of the gradient is the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inmateria.errors import InputError
from learning.pytorch import Tensor, pytorch

torch: Any = pytorch()


def physics_aware(
    forward: Callable[..., Any],
    model: Callable[..., Any] | None = None,
    *,
    vector_jacobian: Callable[..., Any] | None = None,
    allow_nan: bool = False,
) -> Callable[..., Any]:
    """A function for PyTorch that runs `forward` and differentiates `model`.

    Parameters
    ----------
    forward : callable
        The physical system: ``forward(*arguments)`` returns one output or a tuple of them, tensors or arrays, batched
        as it likes. It is given tensors without history, and everything else as it came. It may be noisy.
    model : callable, optional
        Differentiable model of `forward`, of the same arguments and outputs, written in PyTorch.
    vector_jacobian : callable, optional
        In place of a model, the exact derivative where it is known: ``vector_jacobian(*arguments, *cotangents)``
        returns the gradient for each tensor argument (None for one that has none), as a tuple or, if there is one, by
        itself.
    allow_nan : bool
        Whether outputs may be NaN or infinite, for samples that failed; their gradients must then be 0.

    Returns
    -------
    callable
        Takes the arguments of `forward`, returns tensors of its outputs. Gradients are computed only where they are
        wanted, and once: a second derivative would be the model's, not the system's.

    Raises
    ------
    InputError
        If neither or both of `model` and `vector_jacobian` are given; when called, if an output is not finite; in the
        backward pass, if the model's outputs differ from the measured ones in number or shape.

    Examples
    --------
    >>> layer = physics_aware(lambda x, gain: gain * x.numpy() ** 1.1, lambda x, gain: gain * x)  # doctest: +SKIP
    >>> layer(x, 2.0).sum().backward()  # doctest: +SKIP
    """
    if (model is None) == (vector_jacobian is None):
        raise InputError("model", model, "and vector_jacobian cannot be both or neither", "give one of them")

    class PhysicsAware(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            detached = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments]
            found = forward(*detached)
            ctx.single = not isinstance(found, (tuple, list))
            like = next((a for a in detached if isinstance(a, torch.Tensor) and a.is_floating_point()), None)
            outputs = tuple(_as_output(y, like, allow_nan) for y in ((found,) if ctx.single else found))
            ctx.tensors_at = [k for k, a in enumerate(arguments) if isinstance(a, torch.Tensor)]
            ctx.others = [None if isinstance(a, torch.Tensor) else a for a in arguments]
            ctx.shapes = [tuple(y.shape) for y in outputs]
            ctx.save_for_backward(*(arguments[k] for k in ctx.tensors_at))
            return outputs[0] if ctx.single else outputs

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, *cotangents: Any) -> Any:
            arguments = list(ctx.others)
            wanted = [k for k in ctx.tensors_at if ctx.needs_input_grad[k]]
            for k, held in zip(ctx.tensors_at, ctx.saved_tensors, strict=True):
                arguments[k] = held.detach().requires_grad_(k in wanted)
            if vector_jacobian is not None:
                found = _by_jacobian(vector_jacobian, arguments, cotangents, ctx.tensors_at, wanted)
            else:
                assert model is not None
                found = _by_model(model, arguments, cotangents, wanted, ctx.single, ctx.shapes)
            return tuple(found.get(k) for k in range(len(arguments)))

    def layer(*arguments: Any) -> Any:
        return PhysicsAware.apply(*arguments)

    return layer


def _by_jacobian(
    vector_jacobian: Callable[..., Any], arguments: list[Any], cotangents: Any, tensors_at: list[int], wanted: list[int]
) -> dict[int, Any]:
    """Gradients of the wanted arguments, by place, from the exact derivative."""
    plain = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments]
    with torch.enable_grad():  # it may be written in PyTorch itself
        returned = vector_jacobian(*plain, *cotangents)
    parts = returned if isinstance(returned, (tuple, list)) else (returned,)
    slots = tensors_at if len(parts) == len(tensors_at) else wanted
    return {
        k: torch.as_tensor(gradient).to(arguments[k])
        for k, gradient in zip(slots, parts, strict=True)
        if k in wanted and gradient is not None
    }


def _by_model(
    model: Callable[..., Any], arguments: list[Any], cotangents: Any, wanted: list[int], single: bool, shapes: list[Any]
) -> dict[int, Any]:
    """Gradients of the wanted arguments, by place, from the digital model at the values that the system had."""
    with torch.enable_grad():
        modelled = model(*arguments)
        modelled = (modelled,) if single and isinstance(modelled, torch.Tensor) else tuple(modelled)
        _check_shapes([tuple(y.shape) for y in modelled], shapes)
        pairs = [(y, c.to(y)) for y, c in zip(modelled, cotangents, strict=True) if y.requires_grad]
        if not pairs:
            return {}
        found = torch.autograd.grad(
            [y for y, _ in pairs], [arguments[k] for k in wanted], [c for _, c in pairs], allow_unused=True
        )
    return dict(zip(wanted, found, strict=True))


def system_function(
    system: Any,
    model: Callable[..., Any] | None = None,
    *,
    mode: str = "pat",
    rng: np.random.Generator | None = None,
    measured: Callable[[Any, Any], None] | None = None,
) -> Callable[[Tensor], Tensor]:
    """A physical system as a function of a tensor of values (V, (batch, inputs)).

    Parameters
    ----------
    system : PhysicalSystem
    model : callable, optional
        Differentiable model of it, needed in the modes pat and in-silico.
    mode : {"pat", "in-silico", "ideal"}
        Forwards the system and backwards the model; both the model; forwards the system and backwards its own exact
        derivative.
    rng : numpy.random.Generator, optional
        Of the system's noise; without it there is none.
    measured : callable, optional
        Told the values and responses (arrays) of each forward pass through the system.

    Raises
    ------
    InputError
        For an unknown mode, a missing model, or a system without exact derivative in the mode ideal.
    """
    if mode not in ("pat", "in-silico", "ideal"):
        raise InputError("mode", mode, "is no mode", "choose pat, in-silico or ideal")
    if mode != "ideal" and model is None:
        raise InputError("model", None, f"is needed in the mode {mode}", "fit one (fit_model), or choose ideal")
    if mode == "in-silico":
        return model  # type: ignore[return-value]
    if mode == "ideal" and not hasattr(system, "vector_jacobian"):
        raise InputError("mode", mode, f"needs the exact derivative, which {type(system).__name__} has not", "use pat")

    def forward(values: Tensor) -> Any:
        given = values.cpu().numpy().astype(float)
        response = system.respond(given, rng)
        if measured is not None:
            measured(given, response)
        return response

    if mode == "pat":
        return physics_aware(forward, model, allow_nan=True)
    return physics_aware(forward, vector_jacobian=lambda v, c: system.vector_jacobian(*_arrays(v, c)), allow_nan=True)


def _as_output(value: Any, like: Any, allow_nan: bool) -> Any:
    """An output as a tensor of its own, in the precision of the first argument."""
    if isinstance(value, torch.Tensor):
        output = value.detach().clone()
    else:
        output = torch.tensor(np.asarray(value))
        if like is not None and output.is_floating_point():
            output = output.to(like)
    if not allow_nan and output.is_floating_point() and not bool(torch.isfinite(output).all()):
        raise InputError("forward", "NaN or infinite", "is no response", "mend the system, or give allow_nan=True")
    return output


def _check_shapes(modelled: list[tuple[int, ...]], measured: list[tuple[int, ...]]) -> None:
    if len(modelled) != len(measured):
        raise InputError("model", len(modelled), f"outputs, where the system has {len(measured)}", "give as many")
    for of_model, of_system in zip(modelled, measured, strict=True):
        if of_model != of_system:
            raise InputError("model", of_model, f"is another shape than the system's {of_system}", "make them the same")


def _arrays(*tensors: Any) -> tuple[Any, ...]:
    return tuple(tensor.detach().cpu().numpy().astype(float) for tensor in tensors)
