"""Figures, one file for each thing that is drawn: loop, device, task, budget, plan, lock-in, sweep, mgd, pat.

`figure` holds what they share: a new figure in the house's style, colours, saving. A function takes results and returns
a figure; it computes nothing that a result should hold, prints nothing, and matplotlib is loaded when the first one is
drawn. Figures that stand in a report's page are made by `analysis.report.plots`.

Another figure is a function in the file of its subject, or a new file for a new subject.
"""
