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
"""Vectors of bounds whose sums are kept apart; see `sum_bounds`."""
SUM_MARGIN = 1.0 + 2.0**-18
"""Sums of up to 16 numbers in single precision err by less."""
LANE_WORDS = 24
"""Length of running sums over the lanes; see `add_lanes`."""

_FLOATS, _HALVES = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(HALF, LANES)
_CODES = ir.VectorType(ir.IntType(8), LANES)


@intrinsic
def rates_at(typingctx, prefactor, coulomb, source, energy, at, own, sign, out, place):
    """Rates of a row's eight events: g min(1, exp(-(sign (own - E_source) - K))).

    Parameters
    ----------
    prefactor, coulomb : float64 arrays
    source : uint32 array
    energy : float64 array
        By place.
    at : int64
        The first event.
    own : float64
        Energy of the row's site.
    sign : float64
        1 for holes that come into the site, -1 for those that leave it.
    out : float64 array
        Gets the rates from `place` on.

    Returns
    -------
    float64
        Their sum.
    """

    def codegen(context, builder, signature, args):
        kinds = signature.args
        g, k, sources, energies, rates = (data(context, builder, kinds[m], args[m]) for m in (0, 1, 2, 3, 7))
        own, others = spread(builder, args[5]), gather(builder, energies, numbers(builder, sources, args[4]))
        barrier = builder.fmul(spread(builder, args[6]), builder.fsub(own, others))
        barrier = builder.fsub(barrier, load(builder, k, args[4], DOUBLES, 8))
        rate = builder.fmul(load(builder, g, args[4], DOUBLES, 8), boltzmann(builder, barrier))
        store(builder, rate, rates, args[8], 8)
        return sum_of(builder, rate)

    arrays = (prefactor, coulomb, source, energy)
    return types.float64(*arrays, types.int64, types.float64, types.float64, out, types.int64), codegen


def _grown(builder, bounds, codes, caps, at):
    """A vector of bounds after an event; see `grow_bounds`."""
    loaded = load(builder, codes, at, _CODES, 1)
    bits = builder.shl(builder.zext(loaded, _HALVES), ir.Constant(_HALVES, [20] * LANES))
    more = builder.bitcast(bits, _FLOATS)  # (1 + m/8) 2^(e - 127)
    growth = fma(builder, more, ir.Constant(_FLOATS, [2.0**112] * LANES), ir.Constant(_FLOATS, [1.0] * LANES))
    full = builder.icmp_unsigned("==", loaded, ir.Constant(_CODES, [LARGEST_CODE] * LANES))
    growth = builder.select(full, ir.Constant(_FLOATS, [2.0**64] * LANES), growth)
    grown = builder.fmul(load(builder, bounds, at, _FLOATS, 4), growth)
    limit = load(builder, caps, at, _FLOATS, 4)
    return builder.select(builder.fcmp_ordered("<", grown, limit), grown, limit)


def _sum_groups(builder, bounds, rows, sums, vector_at):
    """Sums of the vectors that `vector_at` gives, lane by lane, of each group, times `SUM_MARGIN`."""
    groups = builder.udiv(rows, integer(LANES * BLOCKS))
    with cgutils.for_range(builder, groups) as loop:
        start = builder.mul(loop.index, integer(LANES * BLOCKS))
        parts = []
        for block in range(BLOCKS):
            parts.append(vector_at(builder.add(start, integer(block * LANES))))
        while len(parts) > 1:
            parts = [builder.fadd(parts[k], parts[k + 1]) for k in range(0, len(parts), 2)]
        total = builder.fmul(parts[0], ir.Constant(_FLOATS, [SUM_MARGIN] * LANES))
        store(builder, total, sums, builder.mul(loop.index, integer(LANES)), 4)


@intrinsic
def grow_bounds(typingctx, bounds, codes, event, caps, sums):
    """bounds = min(bounds * growth, caps), float32, and their sums by group into `sums` as `sum_bounds`.

    With e the high 5 bits and m the low 3 bits of a code, growth - 1 = (1 + m/8) 2^(e - 15): 6e-5 to 1.1e5 in steps of
    an eighth; but nothing for the code 0, 2^64 for `LARGEST_CODE`. The codes 1 to 7 are not used. `bounds` and `caps`
    have the same length, a multiple of `LANES` * `BLOCKS`; `codes` is uint8, a row of that length by event.
    """

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        rows = builder.extract_value(array.shape, 0)
        code, cap, out = (data(context, builder, signature.args[m], args[m]) for m in (1, 3, 4))
        code = builder.gep(code, [builder.mul(args[2], rows)])

        def vector_at(at):
            vector = _grown(builder, array.data, code, cap, at)
            store(builder, vector, array.data, at, 4)
            return vector

        _sum_groups(builder, array.data, rows, out, vector_at)
        return context.get_dummy_value()

    return types.void(bounds, codes, types.int64, caps, sums), codegen


@intrinsic
def sum_bounds(typingctx, bounds, sums):
    """Sum bounds (float32) lane by lane in each group of `BLOCKS` vectors into `LANES` float32 of `sums`.

    The sums are rounded in single precision and then made larger by `SUM_MARGIN`: never less than the exact ones.
    """

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        rows = builder.extract_value(array.shape, 0)
        out = data(context, builder, signature.args[1], args[1])
        _sum_groups(builder, array.data, rows, out, lambda at: load(builder, array.data, at, _FLOATS, 4))
        return context.get_dummy_value()

    return types.void(bounds, sums), codegen


@intrinsic
def shift_energies(typingctx, energy, coulomb, gain, loss):
    """energy += coulomb[gain] - coulomb[loss], float64; the length is a multiple of `WIDTH`."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        table, count = data(context, builder, signature.args[1], args[1]), builder.extract_value(array.shape, 0)
        up, down = (builder.gep(table, [builder.mul(args[m], count)]) for m in (2, 3))
        with cgutils.for_range(builder, builder.udiv(count, integer(WIDTH))) as loop:
            at = builder.mul(loop.index, integer(WIDTH))
            moved = builder.fsub(load(builder, up, at, DOUBLES, 8), load(builder, down, at, DOUBLES, 8))
            store(builder, builder.fadd(load(builder, array.data, at, DOUBLES, 8), moved), array.data, at, 8)
        return context.get_dummy_value()

    return types.void(energy, coulomb, types.int64, types.int64), codegen


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


def _prefixes(builder, vector):
    """Running sums over the lanes, by doubling."""
    for step in (1, 2, 4):
        order = [WIDTH + k if k < step else k - step for k in range(WIDTH)]
        vector = builder.fadd(vector, shuffle(builder, vector, doubles(0.0), order))
    return vector


def _passed(builder, wanted, prefix):
    """How many running sums are not above what is wanted."""
    bits = builder.bitcast(builder.fcmp_ordered(">=", wanted, prefix), ir.IntType(WIDTH))
    return builder.ctpop(builder.zext(bits, WORD))


@intrinsic
def add_lanes(typingctx, sums, upto, lanes):
    """Add up the groups' `sums` (float32) lane by lane; returns the total.

    Running sums over the groups, from 0 on, go into `upto` (`LANES` float64 for each group and the end), running sums
    over the lanes into `lanes` (`LANE_WORDS` float64), behind a 0 at `WIDTH` - 1.
    """

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        between, out = (data(context, builder, signature.args[m], args[m]) for m in (1, 2))
        totals = [cgutils.alloca_once_value(builder, doubles(0.0)) for _ in range(2)]
        with cgutils.for_range(builder, builder.udiv(builder.extract_value(array.shape, 0), integer(LANES))) as loop:
            at = builder.mul(loop.index, integer(LANES))
            vector = load(builder, array.data, at, _FLOATS, 4)
            for half, total in enumerate(totals):
                part = shuffle(builder, vector, vector, list(range(half * WIDTH, (half + 1) * WIDTH)))
                more = builder.fadd(builder.load(total), builder.fpext(part, DOUBLES))
                store(builder, more, between, builder.add(at, integer(LANES + half * WIDTH)), 8)
                builder.store(more, total)
        first, second = (_prefixes(builder, builder.load(total)) for total in totals)
        second = builder.fadd(second, shuffle(builder, first, first, [WIDTH - 1] * WIDTH))
        store(builder, first, out, integer(WIDTH), 8)
        store(builder, second, out, integer(2 * WIDTH), 8)
        return builder.extract_element(second, ir.Constant(HALF, WIDTH - 1))

    return types.float64(sums, upto, lanes), codegen


@intrinsic
def raise_rows(typingctx, bounds, sums, rows, at, rates, factor):
    """bounds[r] += factor * rates for the eight rows r that `rows` (int64) names from `at` on, rounded up.

    `bounds` and `sums` are float32, the latter as of `sum_bounds`; `rates` is float64.
    """
    up, margin = 1.0 + 2.0**-22, SUM_MARGIN

    def codegen(context, builder, signature, args):
        bound, total, row, rate = (data(context, builder, signature.args[m], args[m]) for m in (0, 1, 2, 4))
        kind = ir.VectorType(ir.FloatType(), WIDTH)
        places = [builder.load(builder.gep(row, [builder.add(args[3], integer(k))])) for k in range(WIDTH)]
        old = ir.Constant(kind, ir.Undefined)
        for k, place in enumerate(places):
            old = builder.insert_element(old, builder.load(builder.gep(bound, [place])), ir.Constant(HALF, k))
        more = builder.fmul(load(builder, rate, integer(0), DOUBLES, 8), spread(builder, args[5]))
        new = builder.fadd(old, builder.fptrunc(more, kind))
        new = builder.fmul(new, ir.Constant(kind, [up] * WIDTH))
        change = builder.fmul(builder.fsub(new, old), ir.Constant(kind, [margin] * WIDTH))
        for k, place in enumerate(places):
            builder.store(builder.extract_element(new, ir.Constant(HALF, k)), builder.gep(bound, [place]))
            group = builder.mul(builder.udiv(place, integer(LANES * BLOCKS)), integer(LANES))
            there = builder.gep(total, [builder.add(group, builder.and_(place, integer(LANES - 1)))])
            builder.store(
                builder.fadd(builder.load(there), builder.extract_element(change, ir.Constant(HALF, k))), there
            )
        return context.get_dummy_value()

    return types.void(bounds, sums, rows, types.int64, rates, types.float64), codegen


@intrinsic
def pick_lane(typingctx, lanes, target):
    """The lane in which `target` falls along running sums, and what is left of it there: (int64, float64)."""
    kind = types.Tuple((types.int64, types.float64))

    def codegen(context, builder, signature, args):
        pointer = data(context, builder, signature.args[0], args[0])
        wanted = spread(builder, args[1])
        halves = [
            _passed(builder, wanted, load(builder, pointer, integer((1 + half) * WIDTH), DOUBLES, 8))
            for half in range(2)
        ]
        lane, top = builder.add(*halves), integer(LANES - 1)
        lane = builder.select(builder.icmp_unsigned("<", lane, top), lane, top)
        before = builder.load(builder.gep(pointer, [builder.add(lane, integer(WIDTH - 1))]))
        return context.make_tuple(builder, signature.return_type, [lane, builder.fsub(args[1], before)])

    return kind(lanes, types.float64), codegen


def _pick(context, builder, signature, values, rest):
    """Where `rest` falls along eight numbers, at most the last of them, and what is left of it there."""
    prefix = _prefixes(builder, values)
    place, top = _passed(builder, spread(builder, rest), prefix), integer(WIDTH - 1)
    place = builder.select(builder.icmp_unsigned("<", place, top), place, top)
    space = cgutils.alloca_once(builder, ir.ArrayType(ir.DoubleType(), WIDTH + 1))
    start = builder.gep(space, [integer(0), integer(0)])
    builder.store(ir.Constant(ir.DoubleType(), 0.0), start)
    store(builder, prefix, start, integer(1), 8)
    rest = builder.fsub(rest, builder.load(builder.gep(start, [place])))
    return context.make_tuple(builder, signature.return_type, [place, rest])


@intrinsic
def pick_group(typingctx, upto, at, rest):
    """Where `rest` falls along eight running sums, `LANES` apart, from `at` + `LANES` on: (int64, float64).

    `BLOCKS` - 1 if it is beyond them. The number is what is left of `rest` there.
    """

    def codegen(context, builder, signature, args):
        pointer = data(context, builder, signature.args[0], args[0])
        step = integer(0)
        for k in range(1, BLOCKS):
            value = builder.load(builder.gep(pointer, [builder.add(args[1], integer(k * LANES))]))
            step = builder.add(step, builder.zext(builder.fcmp_ordered(">=", args[2], value), WORD))
        before = builder.load(builder.gep(pointer, [builder.add(args[1], builder.mul(step, integer(LANES)))]))
        return context.make_tuple(builder, signature.return_type, [step, builder.fsub(args[2], before)])

    return types.Tuple((types.int64, types.float64))(upto, types.int64, types.float64), codegen


@intrinsic
def pick_in_column(typingctx, values, at, rest):
    """Where `rest` falls along eight float32 `values`, `LANES` apart, from `at` on, and what is left of it there.

    (int64, float64); the last, with a rest that is not less than its value, if `rest` is not less than their sum.
    """

    def codegen(context, builder, signature, args):
        pointer = data(context, builder, signature.args[0], args[0])
        column = ir.Constant(ir.VectorType(ir.FloatType(), WIDTH), ir.Undefined)
        for k in range(WIDTH):
            value = builder.load(builder.gep(pointer, [builder.add(args[1], integer(k * LANES))]))
            column = builder.insert_element(column, value, ir.Constant(HALF, k))
        return _pick(context, builder, signature, builder.fpext(column, DOUBLES), args[2])

    return types.Tuple((types.int64, types.float64))(values, types.int64, types.float64), codegen


@intrinsic
def pick_event(typingctx, rates, rest):
    """Where `rest` falls along eight float64 `rates`, and what is left of it there: as `pick_in_column`."""

    def codegen(context, builder, signature, args):
        pointer = data(context, builder, signature.args[0], args[0])
        return _pick(context, builder, signature, load(builder, pointer, integer(0), DOUBLES, 8), args[1])

    return types.Tuple((types.int64, types.float64))(rates, types.float64), codegen
