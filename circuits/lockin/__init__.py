"""Lock-ins as circuits, without a loop: one block, many around a device, and the design of one.

`netlist` is one lock-in at any level of its parts, with what its reading needs; `characterisation` its data sheet, as a
laboratory would measure it; `bank` the lock-ins of all controls around a device, for gradients at a fixed setting;
`design` finds tones, filter and components for given requirements.

Not here: demodulation and error budgets as mathematics (`lockin`), and what moves controls (`circuits.homodyne`).
Another figure of the data sheet: a function in `characterisation`. Another limit on a design: a check in `design`.
"""
