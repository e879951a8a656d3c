"""Training by the homodyne loop: an experiment goes in, attempts with their scores come out.

`experiment.Experiment` is the noun that all of it takes: bench, task and settings (`settings.HgeSettings`), from which
`experiment.build_loop` makes the circuit of `circuits.homodyne`. `training.learn` chooses starts, runs the loop and
judges; `digital` is the same descent by a computer with converters; `results` holds what it found, `holding` how long
it lasts. `gradients` are the sources of d(output)/dV that any reading is compared with.

No circuit stands here, and no way from a file to an experiment (`analysis.designs`). A new gradient source is a
function in `gradients` that returns a labelled array over ``control``; a new engine stands in
`circuits.homodyne.engines`.
"""
