"""Training of any physical function: gradient sources, tasks and their scores, homodyne gradient extraction, baselines.

A *task* says what the outputs should be (`BooleanTask`, `ClassificationTask`, `RegressionTask`) and when it is learned
(`Score`); `named_task` and `own_task` make one. A *gradient source* returns d(output)/dV as a labelled array, whatever
it came from: `central_difference` and `adjoint` ask the device model, `digital_lock_in` demodulates its computed
response, `spice_lock_in` reads the netlist's lock-ins in ngspice. The trainer `learn` restarts the closed loop of
`circuits.HomodyneLoop` as experimenters do and counts what it used; `search` runs the baselines that it has to beat at
equal numbers of device evaluations: random search, finite differences, SPSA, differential evolution, CMA-ES.

Multiplexed gradient descent trains any cost: `MultiplexedDescent` by `MgdSettings`, with every perturbation code;
`train_many` runs it on a `SigmoidNetwork` and a `SampleSet` from many starts, `gradient_angles` shows how well it reads
the gradient.

Physics-aware training makes any `PhysicalSystem` (`CircuitSystem`, `RlcSystem`, `DeviceSystem`) a layer for PyTorch:
`physics_aware` runs the system forwards and its digital model backwards; `fit_model` fits the model, `PhysicalNetwork`
chains passes through the system, `train_physics_aware` trains it by `PatTraining` on `vowels` or images. Names that
need PyTorch, an extra, are loaded when first used.

Nothing here prints; long work takes a progress callback.
"""
