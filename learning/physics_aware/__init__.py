"""Physics-aware training: forwards through a physical system, backwards through a digital model of it.

`systems.PhysicalSystem` is what a system has to do; `circuit_system` and `device_system` are circuits and devices in
that shape, `layout` says which value feeds which input, `setups` puts system, board and layout together. `layer` makes
any system a layer for PyTorch, `digital_models` and `model_fit` are its model, `network` chains passes; `training` runs
by `settings`, `result` keeps curves and checkpoints.

Another system is a class beside `device_system` and a branch in `setups`. Only files that need PyTorch import it.
"""
