"""Samples that networks are trained on: inputs, targets, and those held out.

`samples.SampleSet` and the sets that are made (parity, digits, letters); `vowels` and `images` read what lies in
`samples.data_folder()`; `problem` is samples with a look at them and a fingerprint. Tasks of the homodyne loop, few
points of few inputs, stand in `learning.tasks`. Nothing is downloaded, and archives of images are read by
`inmateria.unpickling`, which runs nothing.

Another set is a function that returns a `SampleSet`, in a file of its own where it reads data, and a line in the
command that names it, `inmateria/commands/mgd.py` or `pat.py`.
"""
