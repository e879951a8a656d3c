"""What a controller's tick costs, without the user's function.

    python docs/studies/tick_cost.py

Four runs of an RC with 1000 ticks take turns, a hundred rounds. A row is the least and the median of what ngspice's run
took; on a machine with other work the least tells of the code, the median of the machine:

plain     no controller; a corner at every tick, so that the time-points are the same
asked     one vector is told, nothing is set
held      a source is set to what it is already, through converters of 16 bits
toggled   a source jumps at every tick: that many more time-points, as steps grow again behind a jump
"""

from statistics import median

from inmateria import Controller, Engine

TICKS, RATE_HZ, ROUNDS = 1_000, 1e3, 100
DECK = "rc\nVdac in 0 {source}\nR1 in b 1k\nC1 b 0 1u ic=0\n.options reltol=1e-6 trtol=7e6 chgtol=1"


def main() -> None:
    state = [0.0]

    def toggle(time_s: float, sampled: object) -> float:
        state[0] = 1.0 - state[0]
        return state[0]

    fine = {"adc_bits": 16, "dac_bits": 16, "ranges": (-5.0, 5.0)}
    kinds = {
        "plain": ("1", None),
        "asked": ("1", Controller(lambda t, v: (), RATE_HZ, ["v(b)"], [])),
        "held": ("external", Controller(lambda t, v: 1.0, RATE_HZ, ["v(b)"], ["Vdac"], **fine)),
        "toggled": ("external", Controller(toggle, RATE_HZ, ["v(b)"], ["Vdac"])),
    }
    times_us: dict[str, list[float]] = {name: [] for name in kinds}
    points: dict[str, float] = {}
    with Engine() as engine:
        for number in range(ROUNDS + 1):  # the first compiles
            for name, (source, controller) in kinds.items():
                run = engine.transient(
                    DECK.format(source=source),
                    stop_s=TICKS / RATE_HZ,
                    max_step_s=1 / RATE_HZ,
                    save=["v(b)"],
                    corners_s=[k / RATE_HZ for k in range(1, TICKS)] if controller is None else [],
                    controllers=[] if controller is None else [controller],
                )
                if number:
                    times_us[name].append(1e6 * run.statistics["seconds"] / TICKS)
                points[name] = len(run.time_s) / TICKS
    print("          us a tick: least  median   points a tick")
    for name, found in times_us.items():
        print(f"{name:10}{min(found):17.1f} {median(found):7.1f} {points[name]:15.2f}")
    for take in (min, median):
        print(f"asked less plain, {take.__name__}: {take(times_us['asked']) - take(times_us['plain']):.1f} us a tick")


if __name__ == "__main__":
    main()
