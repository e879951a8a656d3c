"""Gradients compared, predicted and planned.

`compare` holds any two labelled gradients side by side; `path_check` opens a learned loop along its path and compares
its lock-ins with the exact gradient; `bank_check` and `loop_budget` say before a transient what a bank or a loop will
read and why it is wrong, term by term; `descent` says whether what offsets add lets a
loop descend at all; `planner` chooses tones, amplitudes and filter for a required error.

Gradients themselves come from `learning.homodyne.gradients`, the terms of a budget from `lockin`. Another check is a
file that takes an experiment and returns comparisons.
"""
