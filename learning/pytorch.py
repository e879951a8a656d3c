"""PyTorch, which is an extra: only modules that need it import it, through here.

`torch` and `Tensor` are `Any` for the type checker, so that it says the same whether PyTorch is installed or not.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from inmateria.errors import InputError

Tensor: TypeAlias = Any
"""torch.Tensor."""


def pytorch(field: str = "torch", value: str = "physics-aware training") -> Any:
    """PyTorch, or a word on how to get it.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise InputError(field, value, "needs PyTorch, which is not installed", "run: make torch") from None
    return torch
