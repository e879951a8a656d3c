"""Multiplexed gradient descent: one measured cost tells the slopes of all parameters at once.

`descent` is the method for any cost, `kernel` its compiled loop, `reference` the same in plain NumPy; `defaults` are
settings that suit a task. What is trained is a network on its samples, with `cost`, `start`, `look` and `gradient`:
`sigmoid_network` (which `subjects` puts together with samples and starts) and `image_network`, with their kernels.
`training` runs many starts, `in_ngspice` the same in a circuit; `backpropagation` and `gradient_angles` are what it is
held against.

Another network is a file with these four, and a branch where `training` makes the subject of a problem; samples stand
in `learning.samples`, circuits in `circuits.multiplexed`.
"""
