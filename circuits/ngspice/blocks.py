"""Memory that engine, worker and compiled callbacks share: the layout of its blocks, by name."""

from __future__ import annotations

import numpy as np

CONTROL = np.dtype(
    [
        (name, np.int64)
        for name in (
            "evaluate", "advance",  # addresses of the device's functions; 0 without a device
            "terminals", "params", "n_params", "state", "n_state", "drive", "n_drive", "work", "arrays", "sense",
            "record", "capacity", "columns", "n_columns", "time_index",
            "corners", "n_corners", "grids", "n_grids", "stepped",
            "clock", "unserved",
            "names", "schedule", "n_sources", "changes",  # of external sources that controllers set
            "message", "sampled", "n_sampled", "asking", "answering", "set_breakpoint", "jumped",
            "answer_poll", "spins", "rests",  # a struct pollfd of the answers, see `callbacks._stay_awake`
            "noise", "n_noise", "noise_state", "n_noise_state",  # of `noise_sources`
            "corners_only",  # whether no other points are recorded
        )
    ]
)  # fmt: skip
"""What the callbacks are given: addresses, lengths, numbers of vectors. All zero: no device and no record."""

HEADER = np.dtype(
    [
        (name, np.float64)
        for name in (
            "time_s", "points", "rows", "evaluations", "source_calls", "bad_time_s", "overflow", "prediction_error_V",
            "device_seconds",
        )
    ]
)  # fmt: skip
"""Head of the record; behind it the accepted points: time, saved vectors, the device's currents."""

WORK = np.dtype(
    [
        *((name, np.float64) for name in ("last_s", "anchor_s", "evaluated_s", "min_step_s")),
        ("stamp_s", np.int64),
        ("stamp_ns", np.int64),
    ]
)
"""The device between two points."""
RESIDUAL, SLOPE, VOLTS, CURRENT, ANCHOR, TREND, ARRAYS = range(7)
"""Rows of the device's arrays over its terminals; the last is their number."""

NAME_BYTES = 64
"""Room for the name of an external source, its NUL included."""

NEXT_TICK, EARLY, FIRST_STEP, SOURCES = range(4)
"""Schedule of the sources that controllers set, in float64: the time of the next tick, how early a point may be that
counts as at it, the step behind a jump, then for each source `changes` times at which its value changes (infinite where
none does) and the `changes` + 1 values between. The message at a tick: its time (NaN: the run has ended), then the
sampled vectors."""

GRID = np.dtype([("start_s", np.float64), ("stop_s", np.float64), ("steps", np.float64)])
"""Even time-points."""
