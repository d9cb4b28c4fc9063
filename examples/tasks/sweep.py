"""A sweep: five learning rates by four seeds, twenty trainings in one compiled step, the worse half stopped early.

Each seed sees the same batches at every learning rate. Result: a table, the best model, and how each one fared.
"""

import jax.numpy as jnp
import numpy as np

import ctmodels as ct


def main(rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2), seeds=4, steps=400, figure=None):
    orbit = np.asarray(ct.systems.simulate(ct.systems.VanDerPol(), jnp.array([2.0, 0.0]), dt=0.1, steps=300))
    seen, new = (ct.Series.from_nan(0.1 * np.arange(len(part)), part) for part in (orbit[:200], orbit[200:]))
    data, held_out = ct.Windows(seen, 10, starts=seen.ys), ct.Windows(new, 10, starts=new.ys)
    solver = ct.Integrate(ct.RK4(), ct.Substeps(1))
    build = lambda key: ct.NeuralODE(ct.fields.MLPField(2, width=32, key=key), 2, integrate=solver)
    found = ct.sweep(build, {"learning_rate": rates}, data, ct.losses.squared, validation=held_out, seeds=seeds,
                     steps=steps, batch_size=16, every=max(1, steps // 20), halve=2)  # fmt: skip
    print(found)
    for row in (found.members[i] for i in found.order[:5]):
        print(
            f"learning rate {row['learning_rate']:.1g}, seed {row['seed']}: {row['validation']:.2g} ({row['stopped']})"
        )
    if figure is not None:
        found.plot(by="learning_rate").figure.savefig(figure)
    return {"best": found.members[found.order[0]]["validation"]}


if __name__ == "__main__":
    main(figure="sweep.svg")
