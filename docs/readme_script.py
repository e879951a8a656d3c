"""The README's script: own device parameters, gradient by lock-in and by adjoint, plot."""

# [readme]
from inmateria import Bench, DopantNetwork, Engine, MeanField, adjoint, compare, plot_gradients, spice_lock_in

network = DopantNetwork.random(seed=7, preset="tertilt2022", acceptors=150, temperature_K=90)
bench = Bench(MeanField(network), output=0, inputs=(2, 6))
controls = [0.1, -0.2, 0.3, 0.15, -0.1, 0.25, -0.3]  # V, electrodes e1 to e7

exact = adjoint(bench, controls)
with Engine() as engine:  # ngspice in a process of its own
    measured, *_ = spice_lock_in(bench, engine, controls, amplitude_V=0.005)

result = compare(measured, exact)
print(measured.to_pandas().mul(1e9).round(3).to_dict())  # nS
print(f"cosine {result.cosine:.5f}, relative error {result.relative_error:.3f}")
plot_gradients([measured], [exact], "5 mV dither").savefig("gradient.png")
# [/readme]
