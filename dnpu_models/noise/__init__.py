"""Noise of measured currents, added to any device where a circuit steps it through time.

`spectrum` is the one-sided density (`NoiseSpectrum`) and what generates it, `kernel` the compiled processes,
`noisy_device` another device with that noise (`NoisyDevice`), and a noise source without a device.

The noise of a model itself (shot noise of hops) belongs to that model. A new kind of spectrum is a constructor of
`NoiseSpectrum`, such as `shot`, as long as it is white noise and Lorentzians; else a kernel beside this one.
"""
