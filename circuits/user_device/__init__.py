"""A user's own netlist as the device: it stands in every circuit as it is, and ngspice tells its currents.

`user_device` makes a `UserDevice` of a file or a PySpice netlist; `remarks` reads what the file's own remarks say;
`statics` asks ngspice for static currents and conductances. A circuit that takes any device places it by
`circuits.parts.placed_device` and knows no more of it than that it is a netlist. What a netlist cannot give, a compiled
kernel for the loops without ngspice, is refused in words.
"""
