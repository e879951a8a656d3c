"""Tasks of the homodyne loop: what the outputs should be, and when it is learned.

`task.Task` is the base with its `Score`; `boolean`, `classification` and `regression` are its kinds; `files` reads a
user's own points. `library.named_task` finds a task by its name. A task knows voltages of its inputs, but no device, no
circuit and no training.

Another ready-made task is a function beside `classification.ring` and its name in `library.READY_MADE`; another kind is
a file with a subclass of `task.Task`. Nothing else has to be touched.
"""
