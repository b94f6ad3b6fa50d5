"""Takes the next step of a training run of nfgrad in plain JAX: parity/resume.ts calls it and compares.

    python -m venv .venv && .venv/bin/pip install jax numpy
    .venv/bin/python parity/resume.py run.npz next.npz

run.npz holds a run under Haiku's names, as io.writeHaiku writes it: the parameters, `opt/momentum/...`, `ema/...`, and
as the text `nfgrad` the settings, step and seed as JSON. next.npz is the same one step later, and loads in nfgrad.
The step is that of the experiment: gradients in training mode with stochastic depth and dropout, SGD with AGC and the
NFNet groups, the average with TensorFlow 1's warm-up. Its batch is made by the fill rule (golden/README.md).
"""
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from nfnets import models, training
from recipes.store import fill, fill_int

PARAMETERS, MOMENTUM, AVERAGE, META = "NFNet/", "opt/momentum/", "ema/", "nfgrad"


def load(path):
    """Arrays by name, and the settings beside them."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays.pop(META)))


def under(arrays, prefix):
    return {name[len(prefix):]: value for name, value in arrays.items() if name.startswith(prefix)}


def batch(run, step):
    """Images [n, size, size, 3] and labels of a step."""
    shape = (run["batch"], run["imsize"], run["imsize"], 3)
    name = run["data"]
    return fill(f"{name}/img/{step}", shape), fill_int(f"{name}/labels/{step}", shape[:1], run["numClasses"])


def next_step(arrays, meta):
    """The arrays after the step, and its loss."""
    run, step = meta["run"], meta["step"]
    model = models.nfnet(run["numClasses"], run["variant"])
    params = {name: value for name, value in arrays.items() if name.startswith(PARAMETERS)}
    momentum, average = under(arrays, MOMENTUM), under(arrays, AVERAGE)
    assert params.keys() == momentum.keys() == average.keys() == model.created()[0].keys()
    images, labels = batch(run, step)
    key = jax.random.fold_in(jax.random.PRNGKey(meta["seed"]), step)

    def loss(p):
        logits = model.apply(p, images, train=True, key=key)[0]["logits"]
        y = training.smooth(training.one_hot(labels, run["numClasses"]), run["smoothing"], run["numClasses"])
        return training.softmax_cross_entropy(logits, y)

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    rule = {"lr": run["lr"], "momentum": run["momentum"], "weight_decay": run["weightDecay"],
            "clipping": run["clipping"], "nesterov": True}
    optimizer = training.Optimizer("SGD_AGC", rule, training.nfnet_groups())
    states = {name: {"momentum": value} for name, value in momentum.items()}
    params, states = optimizer.step(params, grads, states, step)
    moved = {name: training.tf1_ema(average[name], params[name], run["emaDecay"], step) for name in params}
    after = {**params, **{MOMENTUM + name: state["momentum"] for name, state in states.items()},
             **{AVERAGE + name: value for name, value in moved.items()}}
    return {name: np.asarray(value, np.float32) for name, value in after.items()}, float(value)


def main(source, target):
    jax.config.update("jax_default_matmul_precision", "highest")
    arrays, meta = load(source)
    arrays = {name: jnp.asarray(value) for name, value in arrays.items()}
    after, loss = next_step(arrays, meta)
    meta = {**meta, "step": meta["step"] + 1, "loss": loss}
    np.savez(target, **after, **{META: json.dumps(meta)})


if __name__ == "__main__":
    main(*sys.argv[1:])
