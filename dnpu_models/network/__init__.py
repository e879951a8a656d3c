"""The material itself: where dopants and electrodes are, and the energies and rates that follow from that.

`network` is the frozen description (`DopantNetwork`) and its presets, `geometry` the shapes and electrodes,
`electrostatics` the electrodes' potential by finite elements, kept on disk, `constants` the physical constants.

Nothing here solves for currents; that is what the models do, which all read the same network. A new shape is a class in
`geometry` with the methods of `Disc`; a new device of the literature is one more `Preset` in `network.PRESETS`.
"""
