"""What came out: gradients compared, gradients checked along a learning path, datasets, plots.

`compare` puts any two labelled gradients side by side (cosine, relative error, sign agreement). `check_path` opens the
learned loop at several instants of its path, with controls frozen and a stated dither, and compares the circuit's
lock-in gradient with the exact one. `loop_dataset` turns a transient into an
`xarray.Dataset` with units and provenance; `plots` draws it.
"""

from analysis.compare import Comparison, compare
from analysis.datasets import loop_dataset, save_dataset
from analysis.path_check import PathCheck, check_path, loss_gradients

__all__ = ["Comparison", "PathCheck", "check_path", "compare", "loop_dataset", "loss_gradients", "save_dataset"]
