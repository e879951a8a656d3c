"""The fast check: parts of a circuit at resolved steps, where a learning run steps over all that is fast.

A learning run takes 80 to 200 us a step: its amplifiers' poles lie a thousand times higher. Here every distinct part
stands alone, a `cell`, with its sources at the circuit's levels and its loads behind it. `subcircuits` opens its
netlist, so that `loop_gain` finds the return ratio at any wire (`.ac`, Tian's double injection) and its margins;
`waveforms` says of a transient whether it settles, rings or oscillates; `check` asks all of it and gives a verdict.

Not here: what a circuit's levels are (`circuits.homodyne.levels`), and what a design asks (`analysis.verification`).
Another question to a part: a function in `check` that returns a `Finding`.
"""
