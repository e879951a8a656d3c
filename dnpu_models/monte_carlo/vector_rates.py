"""Eight hop rates at a time, and their bounds, by `vectors`.

All arrays are C-contiguous; `at` counts elements.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dnpu_models.interface.vectors import (
    DOUBLES,
    HALF,
    WIDTH,
    WORD,
    boltzmann,
    data,
    doubles,
    fma,
    gather,
    integer,
    load,
    numbers,
    shuffle,
    spread,
    store,
    sum_of,
)

LANES = 16
"""Bounds per vector (float32)."""
LARGEST_CODE = 255
"""Stands for a growth of 2^64; see `grow_bounds`."""
BLOCKS = 8
"""Vectors of bounds whose sums are kept apart; see `sum_lanes`."""

_FLOATS, _HALVES = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(HALF, LANES)
_CODES = ir.VectorType(ir.IntType(8), LANES)


def _rates(into, prefactor, coulomb, source, energy, out):
    """Signature and code of `rates_into`, or of `rates_from`."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        g, k, sources, energies, rates = (data(context, builder, kinds[m], args[m]) for m in (0, 1, 2, 3, 6))
        own, others = spread(builder, args[5]), gather(builder, energies, numbers(builder, sources, args[4]))
        barrier = builder.fsub(own, others) if into else builder.fsub(others, own)
        barrier = builder.fsub(barrier, load(builder, k, args[4], DOUBLES, 8))
        rate = builder.fmul(load(builder, g, args[4], DOUBLES, 8), boltzmann(builder, barrier))
        store(builder, rate, rates, args[7], 8)
        return sum_of(builder, rate)

    arrays = (prefactor, coulomb, source, energy)
    return types.float64(*arrays, types.int64, types.float64, out, types.int64), codegen


@intrinsic
def rates_into(typingctx, prefactor, coulomb, source, energy, at, own, out, place):
    """Rates of eight pairs into an empty site of energy `own`: g min(1, exp(-(own - E_source - K))).

    Parameters
    ----------
    prefactor, coulomb : float64 arrays
    source : uint32 array
    energy : float64 array
        By site.
    at : int64
        The first pair.
    own : float64
    out : float64 array
        Gets the rates from `place` on.

    Returns
    -------
    float64
        Their sum.
    """
    return _rates(True, prefactor, coulomb, source, energy, out)


@intrinsic
def rates_from(typingctx, prefactor, coulomb, source, energy, at, own, out, place):
    """Rates of a hole of energy `own` into eight neighbours: g min(1, exp(-(E_neighbour - own - K))).

    As `rates_into`, with the neighbours in `source`.
    """
    return _rates(False, prefactor, coulomb, source, energy, out)


@intrinsic
def grow_bounds(typingctx, bounds, codes, event, caps):
    """bounds = min(bounds * growth, caps), float32.

    With e the high 5 bits and m the low 3 bits of a code, growth - 1 = (1 + m/8) 2^(e - 11) - 2^-11: nothing, or 6e-5
    to 1.8e6 in steps of at most an eighth; but 2^64 for `LARGEST_CODE`. `bounds` and `caps` have the same length, a
    multiple of `LANES`; `codes` is uint8, a row of that length by event.
    """

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        count = builder.extract_value(array.shape, 0)
        code, cap = (data(context, builder, signature.args[m], args[m]) for m in (1, 3))
        code = builder.gep(code, [builder.mul(args[2], count)])
        with cgutils.for_range(builder, builder.udiv(count, integer(LANES))) as loop:
            at = builder.mul(loop.index, integer(LANES))
            loaded = load(builder, code, at, _CODES, 1)
            bits = builder.shl(builder.zext(loaded, _HALVES), ir.Constant(_HALVES, [20] * LANES))
            more = builder.bitcast(builder.add(bits, ir.Constant(_HALVES, [116 << 23] * LANES)), _FLOATS)
            growth = builder.fadd(more, ir.Constant(_FLOATS, [1.0 - 2.0**-11] * LANES))
            full = builder.icmp_unsigned("==", loaded, ir.Constant(_CODES, [LARGEST_CODE] * LANES))
            growth = builder.select(full, ir.Constant(_FLOATS, [2.0**64] * LANES), growth)
            grown = builder.fmul(load(builder, array.data, at, _FLOATS, 4), growth)
            limit = load(builder, cap, at, _FLOATS, 4)
            store(
                builder,
                builder.select(builder.fcmp_ordered("<", grown, limit), grown, limit),
                array.data,
                at,
                4,
            )
        return context.get_dummy_value()

    return types.void(bounds, codes, types.int64, caps), codegen


@intrinsic
def lanes_above(typingctx, values, at, least):
    """Which of eight float64 `values` from `at` on are above `least`, a bit each."""

    def codegen(context, builder, signature, args):
        vector = load(builder, data(context, builder, signature.args[0], args[0]), args[1], DOUBLES, 8)
        above = builder.fcmp_ordered(">", vector, spread(builder, args[2]))
        return builder.zext(builder.bitcast(above, ir.IntType(WIDTH)), WORD)

    return types.int64(values, types.int64, types.float64), codegen


@intrinsic
def lowest_bit(typingctx, bits):
    """Number of the lowest bit that is set; there must be one."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


@intrinsic
def add_scaled(typingctx, values, slopes, factor):
    """values += factor * slopes, float64, of the same length, a multiple of `WIDTH`."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        slope = data(context, builder, signature.args[1], args[1])
        by = spread(builder, args[2])
        with cgutils.for_range(builder, builder.udiv(builder.extract_value(array.shape, 0), integer(WIDTH))) as loop:
            at = builder.mul(loop.index, integer(WIDTH))
            moved = fma(builder, load(builder, slope, at, DOUBLES, 8), by, load(builder, array.data, at, DOUBLES, 8))
            store(builder, moved, array.data, at, 8)
        return context.get_dummy_value()

    return types.void(values, slopes, types.float64), codegen


@intrinsic
def fetch_codes(typingctx, codes, event):
    """Ask for an event's codes, so that they are on their way from a far cache when `grow_bounds` wants them."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        count = builder.extract_value(array.shape, 1)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), HALF, HALF, HALF])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = builder.gep(array.data, [builder.mul(args[1], count)])
        read, keep, data = (ir.Constant(HALF, m) for m in (0, 3, 1))
        with cgutils.for_range(builder, builder.udiv(count, integer(64))) as loop:  # a cache line each
            line = builder.gep(start, [builder.mul(loop.index, integer(64))])
            builder.call(prefetch, [builder.bitcast(line, ir.IntType(8).as_pointer()), read, keep, data])
        return context.get_dummy_value()

    return types.void(codes, types.int64), codegen


@intrinsic
def sum_lanes(typingctx, bounds, at, sums, place):
    """Sum `BLOCKS` vectors of bounds (float32, from `at` on) lane by lane into `LANES` float64 at `place` of `sums`."""

    def codegen(context, builder, signature, args):
        values, out = (data(context, builder, signature.args[m], args[m]) for m in (0, 2))
        halves = [None, None]
        for block in range(BLOCKS):
            vector = load(builder, values, builder.add(args[1], integer(block * LANES)), _FLOATS, 4)
            for half in range(2):
                order = list(range(half * WIDTH, (half + 1) * WIDTH))
                part = builder.fpext(shuffle(builder, vector, vector, order), DOUBLES)
                halves[half] = part if halves[half] is None else builder.fadd(halves[half], part)
        for half in range(2):
            store(builder, halves[half], out, builder.add(args[3], integer(half * WIDTH)), 8)
        return context.get_dummy_value()

    return types.void(bounds, types.int64, sums, types.int64), codegen


@intrinsic
def pick_lane(typingctx, sums, at, target):
    """The lane in which `target` falls along 16 `sums` from `at` on, and what is left of it there: (int64, float64)."""
    kind = types.Tuple((types.int64, types.float64))

    def codegen(context, builder, signature, args):
        pointer = data(context, builder, signature.args[0], args[0])
        zero = doubles(0.0)
        prefixes, before = [], None
        for half in range(2):
            vector = load(builder, pointer, builder.add(args[1], integer(half * WIDTH)), DOUBLES, 8)
            for step in (1, 2, 4):  # running sums, by doubling
                order = [WIDTH + k if k < step else k - step for k in range(WIDTH)]
                vector = builder.fadd(vector, shuffle(builder, vector, zero, order))
            if before is not None:
                vector = builder.fadd(vector, before)
            before = shuffle(builder, vector, vector, [WIDTH - 1] * WIDTH)
            prefixes.append(vector)
        wanted = spread(builder, args[2])
        space = cgutils.alloca_once(builder, ir.ArrayType(ir.DoubleType(), 2 * WIDTH + 1))
        start = builder.gep(space, [integer(0), integer(0)])
        builder.store(ir.Constant(ir.DoubleType(), 0.0), start)
        lane = integer(0)
        for half, prefix in enumerate(prefixes):
            store(builder, prefix, start, integer(1 + half * WIDTH), 8)
            passed = builder.zext(builder.fcmp_ordered(">=", wanted, prefix), ir.VectorType(ir.IntType(8), WIDTH))
            for m in range(3):
                half_count = WIDTH >> (m + 1)
                passed = builder.add(
                    shuffle(builder, passed, passed, list(range(half_count))),
                    shuffle(builder, passed, passed, list(range(half_count, 2 * half_count))),
                )
            lane = builder.add(lane, builder.zext(builder.extract_element(passed, ir.Constant(HALF, 0)), WORD))
        top = integer(LANES - 1)
        lane = builder.select(builder.icmp_unsigned("<", lane, top), lane, top)
        rest = builder.fsub(args[2], builder.load(builder.gep(start, [lane])))
        return context.make_tuple(builder, signature.return_type, [lane, rest])

    return kind(sums, types.int64, types.float64), codegen
