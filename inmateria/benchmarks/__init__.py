"""Speed on this machine, each figure beside its baseline from the same run, alternating.

A benchmark is a file with `run_bench(answer=..., ...)`, which prints for people and returns the document; `inmateria
bench NAME` loads it by its name. Ratios are measured in one run, because machines are shared and noisy; nothing here is
asserted, and no absolute time is promised.

Another benchmark is a file here and a line in `inmateria/commands/bench.py`.
"""
