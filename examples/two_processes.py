"""Two processes, data that neither of them holds, and checkpoints of both: grain reads, orbax keeps.

    pip install 'ctmodels[multihost]'
    python examples/two_processes.py

Series lie in files on the disk, mapped and not loaded: each process draws its half of every batch from them by itself,
in an order that both know. Gradients are summed over the devices of both, and both write what they hold of a
checkpoint, with the place in the data. Half-way the two processes end; two new ones go on from there. On two machines
nothing differs but the address of the coordinator, and that the folder is one that both see.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec as P

import ctmodels as ct


def write_series(folder: Path, files: int, each: int, samples: int) -> None:
    """Files of noisy oscillations at irregular times, (series, time, (t, angle, speed)), one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        rng = np.random.default_rng(number)
        ts = np.cumsum(rng.uniform(0.05, 0.25, (each, samples)), axis=1)
        radius, phase = rng.uniform(0.5, 1.5, (each, 1)), rng.uniform(0, 2 * np.pi, (each, 1))
        ys = np.exp(-0.1 * ts)[..., None] * np.stack([np.cos(ts + phase), np.sin(ts + phase)], 2) * radius[..., None]
        seen = ys + 0.02 * rng.normal(size=ys.shape)
        np.save(folder / f"part-{number:03d}.npy", np.concatenate([ts[..., None], seen], 2).astype(np.float32))


class Mapped:
    """What grain asks of a source: a length, and one example at a time. Only the rows that are asked for are read."""

    def __init__(self, folder: Path):
        self.parts = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("part-*.npy"))]
        self.each = len(self.parts[0])

    def __len__(self) -> int:
        return self.each * len(self.parts)

    def __getitem__(self, index):
        rows = np.array(self.parts[index // self.each][index % self.each])
        ts, ys = rows[:, 0], rows[:, 1:]
        return {"x": ys[0], "ts": ts, "ys": ys, "seen": np.ones(ys.shape, bool)}


def examples_of(batch: dict) -> ct.Example:
    return ct.Example(batch["x"], ct.Series(batch["ts"], batch["ys"], batch["seen"]))


def train(folder: Path, until: int, steps: int, batch_size: int, width: int, seed: int) -> dict:
    """What each process does; the first says how it went."""
    import grain
    import orbax.checkpoint as ocp

    here, processes = jax.process_index(), jax.process_count()
    # The whole order is known to both; this process takes each second series of it, and forgets it after the batch.
    order = grain.MapDataset.source(Mapped(folder / "data")).shuffle(seed=seed).repeat()
    mine = order[here::processes].batch(batch_size // processes, drop_remainder=True)
    batches = iter(mine.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))

    mesh = jax.make_mesh((len(jax.devices()),), ("data",))
    field = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)))
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    step = ct.make_step(ct.objective(ct.losses.squared), optimiser, mesh=mesh)
    state = step.init(model, key=jax.random.key(seed + 1))

    assert step.mesh is not None
    sharded = NamedSharding(step.mesh, P("data"))
    whole = lambda x: jax.make_array_from_process_local_data(sharded, x)
    keep = ocp.CheckpointManager((folder / "checkpoints").resolve())
    first = keep.latest_step() or 0
    if first:
        arrays, fixed = eqx.partition(state, eqx.is_array)
        kept = keep.restore(first, args=ocp.args.Composite(
            state=ocp.args.StandardRestore(arrays), place=ocp.args.JsonRestore()))  # fmt: skip
        state = eqx.combine(kept["state"], fixed)
        batches.set_state(kept["place"])
    losses = []
    for _ in range(first, until):
        state, metrics = step(state, examples_of(jax.tree.map(whole, next(batches))))
        losses.append(metrics["loss"])
    keep.save(until, args=ocp.args.Composite(
        state=ocp.args.StandardSave(eqx.filter(state, eqx.is_array)), place=ocp.args.JsonSave(batches.get_state()),
    ))  # fmt: skip
    keep.wait_until_finished()
    return {"first": first, "losses": [float(step.local(loss)) for loss in losses], "devices": len(jax.devices())}


def both(folder: Path, until: int, settings: dict) -> dict:
    """Two processes of this file, with a port between them; what the first one said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = json.dumps({"folder": str(folder), "until": until, **settings})
    command = [sys.executable, str(Path(__file__).resolve()), "--coordinator", address, "--settings", said, "--process"]
    second = subprocess.Popen([*command, "1"], stdout=subprocess.DEVNULL)
    first = subprocess.run([*command, "0"], stdout=subprocess.PIPE, text=True, check=False)
    if first.returncode or second.wait():
        raise RuntimeError(f"the processes ended with {first.returncode} and {second.wait()}")
    return json.loads(first.stdout.splitlines()[-1])


def main(files=32, each=1024, samples=40, steps=300, batch_size=64, width=32, seed=0, figure=None):
    settings = {"steps": steps, "batch_size": batch_size, "width": width, "seed": seed}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder / "data", files, each, samples)
        size = sum(path.stat().st_size for path in (folder / "data").iterdir())
        before = both(folder, steps // 2, settings)
        after = both(folder, steps, settings)

    losses = before["losses"] + after["losses"]
    read = steps * batch_size / (files * each)
    print(f"{size / 1e6:.1f} MB in {files} files, of which {read:.0%} were read; {before['devices']} devices")
    print(f"two processes to step {steps // 2}, two others from step {after['first']}: loss {losses[-1]:.4f}")
    if figure is not None:
        draw(losses, after["first"], figure)
    return {"loss": losses[-1], "resumed_at": after["first"], "devices": after["devices"]}


def draw(losses, resumed, path):
    """The loss, and where the processes were others."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    axes.semilogy(np.arange(len(losses)) + 1, losses)
    axes.axvline(resumed, color="0.6", linestyle=":", label="two other processes go on")
    axes.set(xlabel="step", ylabel="loss of a batch")
    axes.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--process", type=int, help="which of the two this is; without it, both are started")
    parser.add_argument("--coordinator", help="host:port of process 0")
    parser.add_argument("--settings", type=json.loads)
    said = parser.parse_args()
    if said.process is None:
        main(figure="two_processes.svg")
    else:
        jax.distributed.initialize(said.coordinator, 2, said.process)
        result = train(Path(said.settings.pop("folder")), **said.settings)
        print(json.dumps(result))
