"""Vector registers in compiled code: LLVM's own instructions, eight doubles or sixteen singles at a time.

Numba leaves some loops scalar (a gather, or a trip count of eight, stops LLVM's vectoriser), which costs a factor of
five. Written with these, LLVM maps them onto what the processor has (AVX-512, AVX2, NEON). All arrays are C-contiguous;
`at` counts elements. Every function takes an LLVM builder and gives the value of the instructions it adds.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

WIDTH = 8
"""Doubles per vector."""
LARGEST = 700.0
"""Barriers (kT) are cut off here: exp(-700) = 1e-304."""
_LARGEST_SINGLE = 87.0

WORD, HALF = ir.IntType(64), ir.IntType(32)
DOUBLES, WORDS = ir.VectorType(ir.DoubleType(), WIDTH), ir.VectorType(WORD, WIDTH)
SINGLES, HALVES = ir.VectorType(ir.FloatType(), 2 * WIDTH), ir.VectorType(HALF, 2 * WIDTH)
_TO_INTEGER = 6755399441055744.0  # 1.5 * 2^52: added to a small number, its low bits are that number's integer
_TO_INTEGER_SINGLE = 12582912.0  # 1.5 * 2^23


def constant(kind, value):
    """A vector of one number."""
    return ir.Constant(kind, [value] * kind.count)


def doubles(value):
    """The same of doubles."""
    return constant(DOUBLES, value)


def integer(value):
    """A constant int64."""
    return ir.Constant(WORD, value)


def lane(number):
    """Number of a place in a vector."""
    return ir.Constant(HALF, number)


def shuffle(builder, first, second, order):
    """Lanes of two vectors in another order."""
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(HALF, len(order)), order))


def spread(builder, scalar, kind=DOUBLES):
    """A vector of one computed number."""
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, lane(0))
    return shuffle(builder, vector, vector, [0] * kind.count)


def _call(builder, name, *vectors):
    """LLVM's own function of vectors of one kind."""
    kind = vectors[0].type
    function = ir.FunctionType(kind, [kind] * len(vectors))
    name = f"llvm.{name}.v{kind.count}{'f64' if kind == DOUBLES else 'f32'}"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), list(vectors))


def fma(builder, a, b, c):
    """a b + c, rounded once."""
    return _call(builder, "fma", a, b, c)


def size(builder, x):
    """|x|."""
    return _call(builder, "fabs", x)


def boltzmann(builder, barrier):
    """min(1, exp(-barrier)), within 1e-14 of itself; in single precision of |barrier|, within 2e-7.

    exp(-b) = 2^-n exp(r),   n = round(b log2 e),   r = n ln 2 - b,   |r| <= ln(2)/2,

    with the Taylor series to r^11 or r^7, in Estrin's order: its chain of dependent steps is half as long.
    """
    return _boltzmann_single(builder, barrier) if barrier.type == SINGLES else _boltzmann(builder, barrier)


def _boltzmann(builder, barrier):
    b = builder.select(builder.fcmp_ordered(">", barrier, doubles(0.0)), barrier, doubles(0.0))
    b = builder.select(builder.fcmp_ordered("<", b, doubles(LARGEST)), b, doubles(LARGEST))
    shifted = fma(builder, b, doubles(1.4426950408889634), doubles(_TO_INTEGER))
    n = builder.fsub(shifted, doubles(_TO_INTEGER))
    r = builder.fsub(builder.fmul(n, doubles(0.6931471805599453)), b)
    r2 = builder.fmul(r, r)
    r4 = builder.fmul(r2, r2)

    def pair(high, low):
        return fma(builder, r, doubles(1 / high), doubles(1 / low))

    low = fma(builder, r2, pair(6.0, 2.0), builder.fadd(r, doubles(1.0)))
    middle = fma(builder, r2, pair(5040.0, 720.0), pair(120.0, 24.0))
    high = fma(builder, r2, pair(39916800.0, 3628800.0), pair(362880.0, 40320.0))
    series = fma(builder, r4, fma(builder, r4, high, middle), low)
    exponent = builder.sub(ir.Constant(WORDS, [1023] * WIDTH), builder.bitcast(shifted, WORDS))
    power = builder.bitcast(builder.shl(exponent, ir.Constant(WORDS, [52] * WIDTH)), DOUBLES)
    return builder.fmul(series, power)


def _boltzmann_single(builder, barrier):
    def number(value):
        return constant(SINGLES, value)

    b = size(builder, barrier)
    b = builder.select(builder.fcmp_ordered("<", b, number(_LARGEST_SINGLE)), b, number(_LARGEST_SINGLE))
    shifted = fma(builder, b, number(1.4426950408889634), number(_TO_INTEGER_SINGLE))
    n = builder.fsub(shifted, number(_TO_INTEGER_SINGLE))
    r = fma(builder, n, number(0.693145751953125), builder.fneg(b))  # ln 2 in two parts: the first times n is exact
    r = fma(builder, n, number(1.42860682e-6), r)
    r2 = builder.fmul(r, r)
    low, middle = builder.fadd(r, number(1.0)), fma(builder, r, number(1 / 6), number(1 / 2))
    high = fma(builder, r2, fma(builder, r, number(1 / 5040), number(1 / 720)),
               fma(builder, r, number(1 / 120), number(1 / 24)))  # fmt: skip
    series = fma(builder, r2, fma(builder, r2, high, middle), low)
    exponent = builder.sub(constant(HALVES, 127), builder.bitcast(shifted, HALVES))
    return builder.fmul(series, builder.bitcast(builder.shl(exponent, constant(HALVES, 23)), SINGLES))


def data(context, builder, kind, value):
    """Pointer to an array's first element."""
    return context.make_array(kind)(context, builder, value).data


def load(builder, pointer, at, kind, align):
    """A vector of an array's elements."""
    vector = builder.load(builder.bitcast(builder.gep(pointer, [at]), kind.as_pointer()))
    vector.align = align
    return vector


def store(builder, vector, pointer, at, align):
    """Write a vector into an array."""
    place = builder.bitcast(builder.gep(pointer, [at]), vector.type.as_pointer())
    builder.store(vector, place).align = align


def numbers(builder, indices, at):
    """Eight uint32 of an array, as int64."""
    return [builder.zext(builder.load(builder.gep(indices, [builder.add(at, integer(k))])), WORD) for k in range(WIDTH)]


def gather(builder, values, where):
    """Doubles at eight places of an array."""
    vector = ir.Constant(DOUBLES, ir.Undefined)
    for k, index in enumerate(where):
        vector = builder.insert_element(vector, builder.load(builder.gep(values, [index])), lane(k))
    return vector


def sum_of(builder, vector):
    """Sum over the lanes."""
    order = list(range(vector.type.count))
    while len(order) > 1:
        half = len(order) // 2
        vector = builder.fadd(
            shuffle(builder, vector, vector, order[:half]), shuffle(builder, vector, vector, order[half:])
        )
        order = order[:half]
    return builder.extract_element(vector, lane(0))
