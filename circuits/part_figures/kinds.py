"""The kinds of parts that can be judged, by name."""

from __future__ import annotations

from circuits.part_figures import comparator, multiplier, opamp, switch

KINDS = {module.KIND.name: module.KIND for module in (opamp, multiplier, comparator, switch)}
