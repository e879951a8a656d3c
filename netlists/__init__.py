"""SPICE parts as files: one part a file, each with a deck beside it that checks it.

A part is a subcircuit at a level of realism. ``netlists/LEVEL/NAME.lib`` holds it,
``netlists/LEVEL/NAME.cir`` is its self-checking deck: plain ``ngspice -b NAME.cir`` exits with 0 when the
part agrees with its closed form and with another code when it does not. A part's numbers live in its file and
nowhere else: the comment header states pins, parameters with units and defaults, the equation and where it
comes from, and `load_part` turns that header into data.

Start here: ``load_part("integrator").instance("w1", {"in": "grad", "gate": "on", "out": "w1"}, rate=-50.0)``
gives the ``X`` line, and ``Part.library`` the text for the deck: the part and the parts it uses (`library` does
that for several parts at once). `available` lists what there is, `parse_part` reads a user's own file, `run_deck`
runs a part's check. Levels: ``ideal`` (behavioural sources, no XSPICE), ``macro`` (own models of real parts, with the
errors their data sheets state), ``transistor`` and ``board`` (circuits of components around parts one buys, which a
``component`` line names: number; maker; package; class of its price). A part has the same pins and the same function
parameters at every level; at level ``board`` the supplies are pins, ``vp`` and ``vn`` before the last one.

A new part, or a part at one more level, is a new ``.lib`` and a new ``.cir`` and changes no file: what there is, is
looked up in the folders. Nothing here runs a circuit but a part's own check, and no part knows a loop or a device.
"""
