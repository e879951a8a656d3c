"""Fluxes along all hops in vector registers: what the mean field's time goes into.

Formulas in `kernel`; the layout is that of `kernel.Hops`. At one setting a vector is eight hops of one site, so that
its energy and occupation are spread once, and what it loses is summed once; at many it is one hop at some of them.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import float32, types
from numba.core import cgutils
from numba.extending import intrinsic

from dnpu_models.interface.vectors import (
    DOUBLES,
    SINGLES,
    WIDTH,
    WORD,
    boltzmann,
    constant,
    data,
    doubles,
    fma,
    gather,
    integer,
    lane,
    load,
    numbers,
    size,
    spread,
    store,
    sum_of,
)


def _net(builder, x, factor, p_i, p_j):
    """p_i (1 - p_j) min(1, e^-x) - p_j (1 - p_i) min(1, e^x), where `factor` is e^-|x|."""
    one = constant(x.type, 1.0)
    forth, back = builder.fmul(p_i, builder.fsub(one, p_j)), builder.fmul(p_j, builder.fsub(one, p_i))
    uphill = builder.fcmp_ordered(">", x, constant(x.type, 0.0))
    forth = builder.fmul(forth, builder.select(uphill, factor, one))
    return builder.fsub(forth, builder.fmul(back, builder.select(uphill, one, factor)))


@intrinsic
def add_fluxes(typingctx, first, to, g, c, energy, p, rate, barrier, factor):
    """Add to `rate` what every node gains by all hops, from the nodes' energies and occupations.

    Leaves x and exp(-|x|) of every hop in `barrier` and `factor`.
    """

    def codegen(context, builder, signature, args):
        count = context.make_array(signature.args[0])(context, builder, args[0]).shape
        starts, ends, rates, repulsion, energies, occupations, flow, barriers, factors = (
            data(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)
        )
        total = cgutils.alloca_once(builder, DOUBLES)
        with cgutils.for_range(builder, builder.sub(builder.extract_value(count, 0), integer(1))) as row:
            i = row.index
            start, stop = (builder.load(builder.gep(starts, [builder.add(i, integer(k))])) for k in (0, 1))
            energy_i, p_i = (spread(builder, builder.load(builder.gep(a, [i]))) for a in (energies, occupations))
            builder.store(doubles(0.0), total)
            with cgutils.for_range_slice(builder, start, stop, integer(WIDTH), inc=True) as (at, _):
                others = numbers(builder, ends, at)
                p_j = gather(builder, occupations, others)
                x = builder.fsub(gather(builder, energies, others), energy_i)
                x = fma(builder, load(builder, repulsion, at, DOUBLES, 8), builder.fsub(p_j, p_i), x)
                less = boltzmann(builder, size(builder, x))
                store(builder, x, barriers, at, 8)
                store(builder, less, factors, at, 8)
                net = _net(builder, x, less, p_i, p_j)
                flux = builder.fmul(load(builder, rates, at, DOUBLES, 8), net)
                builder.store(builder.fadd(builder.load(total), flux), total)
                for k, j in enumerate(others):
                    place = builder.gep(flow, [j])
                    builder.store(builder.fadd(builder.load(place), builder.extract_element(flux, lane(k))), place)
            place = builder.gep(flow, [i])
            builder.store(builder.fsub(builder.load(place), sum_of(builder, builder.load(total))), place)
        return context.get_dummy_value()

    return types.void(first, to, g, c, energy, p, rate, barrier, factor), codegen


LANES = 2 * WIDTH
"""The number of settings is a multiple of it."""


@intrinsic
def add_fluxes_of_settings(typingctx, first, to, g, c, energy, p, rate):
    """`add_fluxes` of every column of energies, occupations and `rate`, all in double or all in single precision."""

    def codegen(context, builder, signature, args):
        kind, align = (SINGLES, 4) if signature.args[4].dtype == float32 else (DOUBLES, 8)
        count = context.make_array(signature.args[0])(context, builder, args[0]).shape
        shape = context.make_array(signature.args[4])(context, builder, args[4]).shape
        width, sites = builder.extract_value(shape, 1), builder.sub(builder.extract_value(count, 0), integer(1))
        starts, ends, rates, repulsion, energies, occupations, flow = (
            data(context, builder, kind_, value) for kind_, value in zip(signature.args, args, strict=True)
        )
        total = cgutils.alloca_once(builder, kind)

        def place(node, column):
            return builder.add(builder.mul(node, width), column)

        def everywhere(array, at):
            return spread(builder, builder.load(builder.gep(array, [at])), kind)

        some = cgutils.for_range_slice(builder, integer(0), width, integer(kind.count), inc=True)
        with some as (column, _), cgutils.for_range(builder, sites) as row:
            i = row.index
            start, stop = (builder.load(builder.gep(starts, [builder.add(i, integer(k))])) for k in (0, 1))
            here = place(i, column)
            energy_i, p_i = (load(builder, array, here, kind, align) for array in (energies, occupations))
            builder.store(constant(kind, 0.0), total)
            with cgutils.for_range_slice(builder, start, stop, integer(1), inc=True) as (at, _):
                there = place(builder.zext(builder.load(builder.gep(ends, [at])), WORD), column)
                p_j = load(builder, occupations, there, kind, align)
                x = builder.fsub(load(builder, energies, there, kind, align), energy_i)
                x = fma(builder, everywhere(repulsion, at), builder.fsub(p_j, p_i), x)
                net = _net(builder, x, boltzmann(builder, size(builder, x)), p_i, p_j)
                flux = builder.fmul(everywhere(rates, at), net)
                builder.store(builder.fadd(builder.load(total), flux), total)
                store(builder, builder.fadd(load(builder, flow, there, kind, align), flux), flow, there, align)
            left = builder.fsub(load(builder, flow, here, kind, align), builder.load(total))
            store(builder, left, flow, here, align)
        return context.get_dummy_value()

    return types.void(first, to, g, c, energy, p, rate), codegen
