"""The closed loop of homodyne gradient extraction around a device: its description, its circuit, its engines.

`loop` is the floor: the frozen description `HomodyneLoop` (with `options`, what a training's settings share with it),
which knows of no netlist and no simulator. On it stand `netlist` (circuit, nodes, deck), `readings` (what a run says),
`export` and `closed_deck` (decks for plain ngspice), `offsets`, and the compiled engines: `equations` and `figures`
(the constants and blocks that both have), `twin`, `averaged` with `averaged_kernel`. `engines` is the roof; on it
`holding` says what the integrators do after learning.

Not here: parts and their levels (`circuits.parts`), waveforms (`circuits.signals`), how a loop is trained
(`learning.homodyne`). Another engine: its equations in a file here, its class and its row in `engines.ENGINES`.
Another reading: a function of loop and run in `readings`. Another block: a function in `netlist` and its constants in
`figures`.
"""
