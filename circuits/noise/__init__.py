"""The noise of the electronics in time: what ngspice's ``.noise`` knows of each element, as currents in a transient.

`elements` reads which elements there are and between which nodes they stand; `densities` asks ngspice for the noise of
each, with all nodes held at a bias; `circuit_noise` makes `NoiseSources` of it, at the operating point or along a run;
`output_noise` asks for the noise at a circuit's output, by instances. The sources themselves, and what is compiled,
belong to `circuits.ngspice`. Noise of a device is `dnpu_models.noise`.
"""
