"""Neural networks in the place of a device: measured chips, and networks fitted to another model.

`chip` is the device (`ChipSurrogate`), `kernel` its compiled evaluation, `many` that at many settings at once,
`brainspy_file` what brains-py saved, `samples` tables of measured samples; `fit` samples a device and fits a chip to
it by `training`, and `tanh_network` is the small network that a closed deck carries along.

No file here runs anything out of a file that it reads: pickles go through `inmateria.unpickling`. A new file format is
a reader that returns a `StoredNetwork` or arrays, and a `from_...` of `ChipSurrogate`.
"""
