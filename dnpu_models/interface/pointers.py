"""Raw memory in compiled code: read a word at an address, see an address as an array, call a function at an address.

Compiled callbacks reach everything through the `void*` that ngspice hands back, never through globals: compiled code
keeps the value a global had, and could then not be cached on disk either.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

DEVICE_SIGNATURE = types.void(*([types.float64] + [types.int64] * 6))
"""C signature of a device's two functions: (t or dt, voltages, params, n_params, state, n_state, out).

All but the first are addresses and lengths. The word behind the state holds the number of terminals.
"""


class CFunction:
    """A C function that is compiled, or fetched from the cache on disk, when its address is first asked for.

    ``@numba.cfunc`` compiles at import: whoever imports a model would wait for a minute for what only a transient
    needs.
    """

    def __init__(self, python: Callable[..., Any], signature: Any) -> None:
        self._python, self._signature = python, signature

    @cached_property
    def _compiled(self) -> Any:
        return cfunc(self._signature, cache=True)(self._python)

    @property
    def address(self) -> int:
        """Where it lies in this process."""
        return int(self._compiled.address)


def c_function(signature: Any) -> Callable[[Callable[..., Any]], CFunction]:
    """Decorator that makes a `CFunction`."""
    return lambda python: CFunction(python, signature)


def pointer_to(element):
    """Intrinsic that makes a pointer to `element` (a Numba type) of an address (int64), for `numba.carray`."""
    kind = types.CPointer(element)

    @intrinsic
    def pointer(typingctx, address):
        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return kind(types.int64), codegen

    return pointer


as_float_pointer, as_int_pointer = pointer_to(types.float64), pointer_to(types.int64)


@intrinsic
def load_float(typingctx, address):
    """float64 at an address."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], ir.DoubleType().as_pointer()))

    return types.float64(types.int64), codegen


@intrinsic
def load_int(typingctx, address):
    """int64 at an address."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.int64(types.int64), codegen


@intrinsic
def load_byte(typingctx, address):
    """Unsigned byte at an address, as int64."""

    def codegen(context, builder, signature, args):
        byte = builder.load(builder.inttoptr(args[0], ir.IntType(8).as_pointer()))
        return builder.zext(byte, ir.IntType(64))

    return types.int64(types.int64), codegen


@intrinsic
def store_float(typingctx, address, value):
    """Write a float64 at an address."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], builder.inttoptr(args[0], ir.DoubleType().as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.float64), codegen


@intrinsic
def call_device(typingctx, function, scalar, voltages, params, n_params, state, n_state, out):
    """Call ``void f(double, i64, i64, i64, i64, i64, i64)`` at the address `function`."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [ir.DoubleType(), word, word, word, word, word, word])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, types.float64, word, word, word, word, word, word), codegen


@njit
def evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out):
    """Call a device's compiled ``evaluate`` with the arrays at these addresses; it becomes part of its caller.

    The number of terminals is the first word behind the state: the arrays are as long as the caller says.
    """
    terminals = int(load_float(state + 8 * n_state))
    evaluate(
        t,
        carray(as_float_pointer(voltages), terminals),
        carray(as_float_pointer(params), n_params),
        carray(as_float_pointer(state), n_state),
        carray(as_float_pointer(out), terminals),
    )


@njit
def advance_at(advance, dt, voltages, params, n_params, state, n_state):
    """As `evaluate_at`, of ``advance``."""
    terminals = int(load_float(state + 8 * n_state))
    advance(
        dt,
        carray(as_float_pointer(voltages), terminals),
        carray(as_float_pointer(params), n_params),
        carray(as_float_pointer(state), n_state),
    )


@lru_cache(maxsize=32)
def device_functions(evaluate, advance):
    """C functions around a device's two compiled functions; keep them alive as long as they may be called.

    Those of the devices last used are kept, so that another run of the same device compiles nothing.
    """

    @cfunc(DEVICE_SIGNATURE)
    def c_evaluate(t, voltages, params, n_params, state, n_state, out):
        evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out)

    @cfunc(DEVICE_SIGNATURE)
    def c_advance(dt, voltages, params, n_params, state, n_state, out):
        advance_at(advance, dt, voltages, params, n_params, state, n_state)

    return c_evaluate, c_advance


def imported(reference):
    """What ``module:name`` refers to; ``module:name(reference)`` is what that function makes of it."""
    place, _, inner = reference.removesuffix(")").partition("(")
    module, _, name = place.partition(":")
    found = getattr(import_module(module), name)
    return found(imported(inner)) if inner else found


def c_functions(kernel):
    """C functions of a device: its own, or made from its compiled ones; keep them alive while they may be called."""
    if kernel.c_functions is None:
        return device_functions(kernel.evaluate, kernel.advance)
    return tuple(imported(reference) for reference in kernel.c_functions)
