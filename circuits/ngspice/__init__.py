"""ngspice in a process of its own: everything that knows what ngspice is, and nothing of what is simulated.

In the caller's process: `library` (where libngspice is), `engine` (one worker, a `worker_process`), `pool` (several),
`noise` and `noise_sources` (currents as sources), `cosimulation` (what a device brings along;
`implicit`: with its tangent), `controller` and `clock` (Python at ticks),
`deck_checks` with `deck_values`, `deck_expressions`, `deck_branches` and `deck_words`, `dialects` and `one_thread`
(before a run), `messages` and `failures` (after it). In the worker: `worker`, `shared` (libngspice) and
`callbacks`, which are compiled. Both sides: `blocks` (memory by name) and `record` (the points).

This file holds no import: a worker starts with ``-m circuits.ngspice.worker`` and waits for all that is loaded, so
`worker` may import no model and no circuit. A new check of decks is a function in `deck_checks`; a new word of
ngspice's, that something went wrong, goes to `messages`; what compiled code is to know gets a name in `blocks`.
"""
