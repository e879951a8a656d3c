"""Everything that speaks to whoever sits at the terminal: documents, errors as one line, progress, usage.

`output` prints documents and turns an error, Ctrl-C included, into one line and an exit code (0 done, 1 the answer is
no, 2 bad input, 130 interrupted); `progress` shows how far a run is; `usage` words what typer finds wrong with a
command line. No command and no result is known here.

Another kind of progress is a class in `progress`; a new exit code does not come.
"""
