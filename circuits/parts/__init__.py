"""What circuits are put together of: the library's parts at chosen levels, placed, with errors of their own.

`levels` chooses ideal parts, macro models or transistors by name; `assembly` places parts on nodes and keeps which
stands where with which values; `component_errors` makes components differ from board to board; `losses` has the loss
stages as equations beside the names of their parts.

Not here: the parts' netlists themselves (`netlists`), and any particular circuit: nothing here knows a loop. Another
loss: its name in `circuits.choices`, its equation and its part in `losses`, its placement in
`circuits.homodyne.netlist`. Another kind of error: a row of the table in `component_errors`.
"""
