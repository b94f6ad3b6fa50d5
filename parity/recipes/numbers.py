"""Cases without arithmetic to speak of: the fill rule, JAX's random numbers, names and sizes of all networks."""
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np

from nfnets import layers, models, resnets, variants

from . import store
from .base import Recipe, case_shapes
from .networks import TINY_DEPTH, case_parameters, network


# ---- fill: the rows are the stored inputs themselves ----
def _fill_inputs(case):
    plain, whole = store.filled(f"{case['id']}/x", [200]), store.filled_int(f"{case['id']}/int", [50], 10)
    return {"x": {**plain, "stored": True}, "int": {**whole, "stored": True}}


FILL = Recipe(lambda case, values, folder: {}, _fill_inputs)

# ---- random ----
_NUMBER = r"(-?[\d.]+(?:e-?\d+)?)"


def _key(key, numbers, shape):
    return jax.random.key_data(key)


_DRAWS = {
    "key": _key,
    r"split(\d+)": lambda key, n, _: jax.random.split(key, int(n[0])),
    r"fold_in/(\d+)": lambda key, n, _: jax.random.fold_in(key, int(n[0])),
    "bits/SHAPE": lambda key, n, shape: jax.random.bits(key, shape),
    "uniform/SHAPE": lambda key, n, shape: jax.random.uniform(key, shape),
    f"uniform_{_NUMBER}_{_NUMBER}/SHAPE": lambda key, n, shape: jax.random.uniform(
        key, shape, minval=n[0], maxval=n[1]),
    "normal/SHAPE": lambda key, n, shape: jax.random.normal(key, shape),
    f"truncated_normal_{_NUMBER}_{_NUMBER}/SHAPE": lambda key, n, shape: jax.random.truncated_normal(
        key, n[0], n[1], shape),
    f"bernoulli_{_NUMBER}/SHAPE": lambda key, n, shape: jax.random.bernoulli(key, n[0], shape),
    f"randint_{_NUMBER}_{_NUMBER}/SHAPE": lambda key, n, shape: jax.random.randint(
        key, shape, int(n[0]), int(n[1])),
    r"permutation/(\d+)": lambda key, n, _: jax.random.permutation(key, int(n[0])),
}
_NEW = ["key", "split3", "fold_in/5", "bits/7", "uniform/3x4", "uniform_-1_2/9", "normal/50",
        "truncated_normal_-2_2/40", "bernoulli_0.3/20", "randint_-5_100/20", "permutation/12"]


def _draw(name):
    """The output named `key<seed>/<kind>`."""
    seed, rest = re.fullmatch(r"key(-?\d+)/(.*)", name).groups()
    for pattern, make in _DRAWS.items():
        match = re.fullmatch(pattern.replace("SHAPE", r"(?P<shape>scalar|\d+(?:x\d+)*)"), rest)
        if match:
            text = match.groupdict().get("shape")
            shape = () if text in (None, "scalar") else tuple(int(d) for d in text.split("x"))
            numbers = [float(n) for n in match.groups()[:None if text is None else -1]]
            return make(jax.random.PRNGKey(int(seed)), numbers, shape)
    raise ValueError(f"unknown draw {name}")


def _random(case, values, folder):
    if "haiku init" in case["reference"]:
        return _initial(case)
    if "NFNet.__call__" in case["reference"]:
        return _training_mode(case, values)
    names = case.get("outputs") or [f"key{case['config'].get('seed', 0)}/{kind}" for kind in _NEW]
    return {name: _draw(name) for name in names}


def _initial(case):
    """Haiku's initial values; of a large model the first few of each parameter, as the case lists them."""
    config = case["config"]
    created, _ = network(case).created(train=config.get("is_training", True))
    return layers.initial_values(created, config["seed"], case_shapes(case))


def _training_mode(case, values):
    """A training pass with its draws: keys in Haiku's order, uniforms of stochastic depth, the dropout mask."""
    config, model = case["config"], network(case)
    key = jax.random.PRNGKey(config["rng_seed"])
    out, _ = model.apply(case_parameters(case, values, model), values["x"], True, key)
    rates = [s["stochdepth_rate"] for s in model.blocks]
    drops = sum(0 < r < 1 for r in rates)
    keys = layers.haiku_keys(key, drops + (model.drop_rate > 0))
    outputs = {"logits": out["logits"], "keys": jnp.stack(keys)}
    batch = values["x"].shape[0]
    for i in range(drops):
        outputs[f"uniform/{i}"] = jax.random.uniform(keys[i], (batch, 1, 1, 1), jnp.float32).ravel()
    if model.drop_rate > 0:
        outputs[f"dropout_mask/{drops}"] = layers.dropout_mask(keys[-1], model.drop_rate, out["pool"].shape)
    return outputs


def _random_inputs(case):
    if "NFNet.__call__" not in case["reference"]:
        return {}
    case["params"] = {"seed": case["id"], "rule": "by kind (README)"}
    return {"x": store.filled(f"{case['id']}/x", [case["config"].pop("batch", 4), 32, 32, 3])}


RANDOM = Recipe(_random, _random_inputs, f32_only=lambda name: name != "logits",
                defaults=lambda rng: {"seed": rng.randint(0, 1000)})

# ---- metadata ----
_HIDDEN_SETTINGS = ("kernel",)


def _families():
    """(name in the side file, model, image sizes of the FLOP counts)."""
    tiny = {"width": [16, 32, 64, 64], "depth": [1, 2, 2, 1], "group_width": [8] * 4, "train_imsize": 32,
            "test_imsize": 32, "drop_rate": 0.0}
    tiny_regnet = {"width": [16, 24, 32, 44], "depth": [1, 2, 1, 1], "train_imsize": 32, "test_imsize": 32,
                   "drop_rate": 0.0}
    for table, make, prefix in (({**variants.NFNETS, "Tiny": tiny}, models.nfnet, "NFNet"),
                                ({**variants.NF_REGNETS, "Tiny": tiny_regnet}, models.nf_regnet, "NF_RegNet")):
        for name, sizes in table.items():
            yield f"{prefix}-{name}", functools.partial(make, 10 if sizes is tiny else 1000, sizes), (
                sizes["train_imsize"], sizes["test_imsize"])
    resnets_and_tiny = {**variants.RESNETS, "Tiny": {"depth": TINY_DEPTH}}
    for name, sizes in resnets_and_tiny.items():
        yield f"NF_ResNet-{name}", functools.partial(models.nf_resnet, 1000, sizes), (224,)
    yield "NF_ResNet-ResNet50-SE", functools.partial(models.nf_resnet, 1000, use_se=True), (224,)
    for name in ("ResNet50", "ResNet101"):
        for version, preactivation in (("v2", True), ("v1", False)):
            yield f"ResNet-{name}-{version}", functools.partial(
                resnets.resnet, 1000, 4, name, preactivation=preactivation), ()
    yield "SkipInit_ResNet-ResNet50", functools.partial(resnets.skipinit_resnet, 1000), (224,)
    yield "FixUp_ResNet-ResNet50", functools.partial(resnets.fixup_resnet, 1000), (224,)


def _flops(model, size):
    try:
        parts = [float(part) for part in model.flops(size, size)]
    except AttributeError as error:
        return {"error": f"AttributeError: {error}"}
    return {"total": sum(parts), "per_part": parts}


def _describe(make, sizes):
    model = make()
    created, state = model.created()
    blocks = [{k: v for k, v in s.items() if k not in _HIDDEN_SETTINGS} for s in model.blocks]
    text = {"blocks": blocks, "drop_rate": model.drop_rate,
            "flops": {str(size): _flops(model, size) for size in sorted(set(sizes))},
            "param_count": sum(math.prod(c.shape) for c in created.values()),
            "params": {name: list(c.shape) for name, c in created.items()}}
    return {**text, "state": {name: list(shape) for name, shape in state.items()}} if state else text


METADATA = Recipe(lambda case, values, folder: {
    "side": {name: _describe(make, sizes) for name, make, sizes in _families()}},
    lambda case: {}, side="json", f32_only=lambda name: True)
