"""The commands: one file each, with its options, its run and what it writes.

A command's file has a dataclass `Options`, a function `run(options, frame)` and `FILES`; `app` makes typer's command of
it, `options` holds the options that several share, `experiment` makes an `Experiment` of options or a design. `frame`
is the one frame around every run: folder, document, figures, what is kept at Ctrl-C; the exit codes, and how an error
becomes one line, are in `inmateria.terminal.output`. Beside the commands stand their halves that two of them use:
`facts`, `voltages`, `search`, `iv_sweep`. Nothing computes here, and no other room imports from here.

Another command is a file here and a line in `inmateria/cli.py`. Import at its top nothing that its help would wait for.
"""
