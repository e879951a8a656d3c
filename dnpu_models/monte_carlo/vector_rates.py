"""Eight hop rates at a time, in vector registers.

Numba leaves these loops scalar (a gather, or a trip count of eight, stops LLVM's vectoriser), which costs a factor of
five. So they are written as LLVM's own vector instructions; LLVM maps them onto what the processor has (AVX-512, AVX2,
NEON). All arrays are C-contiguous; `at` counts elements.

    exp(-b) = 2^-n exp(r),   n = round(b log2 e),   r = n ln 2 - b,   |r| <= ln(2)/2,

with the Taylor series to r^11 (relative error 1e-14), in Estrin's order: its chain of dependent steps is half as long.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTH = 8
"""Rates per vector."""
LANES = 16
"""Bounds per vector (float32)."""
LARGEST_CODE = 255
"""Stands for a growth of 2^64; see `grow_bounds`."""
BLOCKS = 8
"""Vectors of bounds whose sums are kept apart; see `sum_lanes`."""
LARGEST = 700.0
"""Barriers (kT) are cut off here: exp(-700) = 1e-304."""

_WORD, _HALF = ir.IntType(64), ir.IntType(32)
_DOUBLES, _WORDS = ir.VectorType(ir.DoubleType(), WIDTH), ir.VectorType(_WORD, WIDTH)
_FLOATS, _HALVES = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(_HALF, LANES)
_CODES = ir.VectorType(ir.IntType(8), LANES)
_TO_INTEGER = 6755399441055744.0  # 1.5 * 2^52: added to a small number, its low bits are that number's integer


def _doubles(value):
    return ir.Constant(_DOUBLES, [value] * WIDTH)


def _int(value):
    return ir.Constant(_WORD, value)


def _shuffle(builder, first, second, order):
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_HALF, len(order)), order))


def _spread(builder, scalar):
    vector = builder.insert_element(ir.Constant(_DOUBLES, ir.Undefined), scalar, ir.Constant(_HALF, 0))
    return _shuffle(builder, vector, vector, [0] * WIDTH)


def _fma(builder, a, b, c):
    kind = ir.FunctionType(_DOUBLES, [_DOUBLES] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v8f64"), [a, b, c])


def _boltzmann(builder, barrier):
    """min(1, exp(-barrier))."""
    b = builder.select(builder.fcmp_ordered(">", barrier, _doubles(0.0)), barrier, _doubles(0.0))
    b = builder.select(builder.fcmp_ordered("<", b, _doubles(LARGEST)), b, _doubles(LARGEST))
    shifted = _fma(builder, b, _doubles(1.4426950408889634), _doubles(_TO_INTEGER))
    n = builder.fsub(shifted, _doubles(_TO_INTEGER))
    r = builder.fsub(builder.fmul(n, _doubles(0.6931471805599453)), b)
    r2 = builder.fmul(r, r)
    r4 = builder.fmul(r2, r2)

    def pair(high, low):
        return _fma(builder, r, _doubles(1 / high), _doubles(1 / low))

    low = _fma(builder, r2, pair(6.0, 2.0), builder.fadd(r, _doubles(1.0)))
    middle = _fma(builder, r2, pair(5040.0, 720.0), pair(120.0, 24.0))
    high = _fma(builder, r2, pair(39916800.0, 3628800.0), pair(362880.0, 40320.0))
    series = _fma(builder, r4, _fma(builder, r4, high, middle), low)
    exponent = builder.sub(ir.Constant(_WORDS, [1023] * WIDTH), builder.bitcast(shifted, _WORDS))
    power = builder.bitcast(builder.shl(exponent, ir.Constant(_WORDS, [52] * WIDTH)), _DOUBLES)
    return builder.fmul(series, power)


def _data(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


def _load(builder, pointer, at, kind, align):
    vector = builder.load(builder.bitcast(builder.gep(pointer, [at]), kind.as_pointer()))
    vector.align = align
    return vector


def _store(builder, vector, pointer, at, align):
    place = builder.bitcast(builder.gep(pointer, [at]), vector.type.as_pointer())
    builder.store(vector, place).align = align


def _gather(builder, values, indices, at):
    vector = ir.Constant(_DOUBLES, ir.Undefined)
    for lane in range(WIDTH):
        index = builder.zext(builder.load(builder.gep(indices, [builder.add(at, _int(lane))])), _WORD)
        vector = builder.insert_element(vector, builder.load(builder.gep(values, [index])), ir.Constant(_HALF, lane))
    return vector


def _sum(builder, vector):
    order = list(range(vector.type.count))
    while len(order) > 1:
        half = len(order) // 2
        vector = builder.fadd(
            _shuffle(builder, vector, vector, order[:half]), _shuffle(builder, vector, vector, order[half:])
        )
        order = order[:half]
    return builder.extract_element(vector, ir.Constant(_HALF, 0))


def _rates(into, prefactor, coulomb, source, energy, out):
    """Signature and code of `rates_into`, or of `rates_from`."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        g, k, sources, energies, rates = (_data(context, builder, kinds[m], args[m]) for m in (0, 1, 2, 3, 6))
        own, others = _spread(builder, args[5]), _gather(builder, energies, sources, args[4])
        barrier = builder.fsub(own, others) if into else builder.fsub(others, own)
        barrier = builder.fsub(barrier, _load(builder, k, args[4], _DOUBLES, 8))
        rate = builder.fmul(_load(builder, g, args[4], _DOUBLES, 8), _boltzmann(builder, barrier))
        _store(builder, rate, rates, args[7], 8)
        return _sum(builder, rate)

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
        code, cap = (_data(context, builder, signature.args[m], args[m]) for m in (1, 3))
        code = builder.gep(code, [builder.mul(args[2], count)])
        with cgutils.for_range(builder, builder.udiv(count, _int(LANES))) as loop:
            at = builder.mul(loop.index, _int(LANES))
            loaded = _load(builder, code, at, _CODES, 1)
            bits = builder.shl(builder.zext(loaded, _HALVES), ir.Constant(_HALVES, [20] * LANES))
            more = builder.bitcast(builder.add(bits, ir.Constant(_HALVES, [116 << 23] * LANES)), _FLOATS)
            growth = builder.fadd(more, ir.Constant(_FLOATS, [1.0 - 2.0**-11] * LANES))
            full = builder.icmp_unsigned("==", loaded, ir.Constant(_CODES, [LARGEST_CODE] * LANES))
            growth = builder.select(full, ir.Constant(_FLOATS, [2.0**64] * LANES), growth)
            grown = builder.fmul(_load(builder, array.data, at, _FLOATS, 4), growth)
            limit = _load(builder, cap, at, _FLOATS, 4)
            _store(
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
        vector = _load(builder, _data(context, builder, signature.args[0], args[0]), args[1], _DOUBLES, 8)
        above = builder.fcmp_ordered(">", vector, _spread(builder, args[2]))
        return builder.zext(builder.bitcast(above, ir.IntType(WIDTH)), _WORD)

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
        slope = _data(context, builder, signature.args[1], args[1])
        by = _spread(builder, args[2])
        with cgutils.for_range(builder, builder.udiv(builder.extract_value(array.shape, 0), _int(WIDTH))) as loop:
            at = builder.mul(loop.index, _int(WIDTH))
            moved = _fma(
                builder, _load(builder, slope, at, _DOUBLES, 8), by, _load(builder, array.data, at, _DOUBLES, 8)
            )
            _store(builder, moved, array.data, at, 8)
        return context.get_dummy_value()

    return types.void(values, slopes, types.float64), codegen


@intrinsic
def fetch_codes(typingctx, codes, event):
    """Ask for an event's codes, so that they are on their way from a far cache when `grow_bounds` wants them."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        count = builder.extract_value(array.shape, 1)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), _HALF, _HALF, _HALF])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = builder.gep(array.data, [builder.mul(args[1], count)])
        read, keep, data = (ir.Constant(_HALF, m) for m in (0, 3, 1))
        with cgutils.for_range(builder, builder.udiv(count, _int(64))) as loop:  # a cache line each
            line = builder.gep(start, [builder.mul(loop.index, _int(64))])
            builder.call(prefetch, [builder.bitcast(line, ir.IntType(8).as_pointer()), read, keep, data])
        return context.get_dummy_value()

    return types.void(codes, types.int64), codegen


@intrinsic
def sum_lanes(typingctx, bounds, at, sums, place):
    """Sum `BLOCKS` vectors of bounds (float32, from `at` on) lane by lane into `LANES` float64 at `place` of `sums`."""

    def codegen(context, builder, signature, args):
        values, out = (_data(context, builder, signature.args[m], args[m]) for m in (0, 2))
        halves = [None, None]
        for block in range(BLOCKS):
            vector = _load(builder, values, builder.add(args[1], _int(block * LANES)), _FLOATS, 4)
            for half in range(2):
                order = list(range(half * WIDTH, (half + 1) * WIDTH))
                part = builder.fpext(_shuffle(builder, vector, vector, order), _DOUBLES)
                halves[half] = part if halves[half] is None else builder.fadd(halves[half], part)
        for half in range(2):
            _store(builder, halves[half], out, builder.add(args[3], _int(half * WIDTH)), 8)
        return context.get_dummy_value()

    return types.void(bounds, types.int64, sums, types.int64), codegen


@intrinsic
def pick_lane(typingctx, sums, at, target):
    """The lane in which `target` falls along 16 `sums` from `at` on, and what is left of it there: (int64, float64)."""
    kind = types.Tuple((types.int64, types.float64))

    def codegen(context, builder, signature, args):
        pointer = _data(context, builder, signature.args[0], args[0])
        zero = _doubles(0.0)
        prefixes, before = [], None
        for half in range(2):
            vector = _load(builder, pointer, builder.add(args[1], _int(half * WIDTH)), _DOUBLES, 8)
            for step in (1, 2, 4):  # running sums, by doubling
                order = [WIDTH + k if k < step else k - step for k in range(WIDTH)]
                vector = builder.fadd(vector, _shuffle(builder, vector, zero, order))
            if before is not None:
                vector = builder.fadd(vector, before)
            before = _shuffle(builder, vector, vector, [WIDTH - 1] * WIDTH)
            prefixes.append(vector)
        wanted = _spread(builder, args[2])
        space = cgutils.alloca_once(builder, ir.ArrayType(ir.DoubleType(), 2 * WIDTH + 1))
        start = builder.gep(space, [_int(0), _int(0)])
        builder.store(ir.Constant(ir.DoubleType(), 0.0), start)
        lane = _int(0)
        for half, prefix in enumerate(prefixes):
            _store(builder, prefix, start, _int(1 + half * WIDTH), 8)
            passed = builder.zext(builder.fcmp_ordered(">=", wanted, prefix), ir.VectorType(ir.IntType(8), WIDTH))
            for m in range(3):
                half_count = WIDTH >> (m + 1)
                passed = builder.add(
                    _shuffle(builder, passed, passed, list(range(half_count))),
                    _shuffle(builder, passed, passed, list(range(half_count, 2 * half_count))),
                )
            lane = builder.add(lane, builder.zext(builder.extract_element(passed, ir.Constant(_HALF, 0)), _WORD))
        top = _int(LANES - 1)
        lane = builder.select(builder.icmp_unsigned("<", lane, top), lane, top)
        rest = builder.fsub(args[2], builder.load(builder.gep(start, [lane])))
        return context.make_tuple(builder, signature.return_type, [lane, rest])

    return kind(sums, types.int64, types.float64), codegen
