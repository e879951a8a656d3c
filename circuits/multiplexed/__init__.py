"""Multiplexed gradient descent as electronics: one cost for all parameters, a perturbation code tells them apart.

`loop` is the frozen description (`MultiplexedLoop`) and the protocol of what it trains (`CircuitNetwork`); nothing here
is imported by it. `netlist` writes a loop's circuit and what moves from outside, `run` simulates and reads it, `kernel`
is the compiled half of the sources. `sigmoid_network` and `device_network` are networks; `sigmoid_layers` is what the
former shares with the equations in `learning`.

Another network is a new file with a class that has `CircuitNetwork`'s members; no file here knows the networks. No
training of many starts, no samples, no cost beside the circuit's own: those are in `learning.multiplexed`.
"""
