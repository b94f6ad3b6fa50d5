"""Activations, WSConv2D and the small modules."""
import functools

import jax
import jax.numpy as jnp
import numpy as np

from nfnets import layers
from nfnets.layers import Net

from . import store
from .base import Recipe, layer_inputs, layer_outputs, module_name


# ---- activations ----
def _activations(case, values, folder):
    kind, x = case["config"].get("activation"), values["x"]
    if kind is None:
        names = [n for n in case["outputs"] if n.startswith("y/")]
        return {name: layers.activation(name[2:])(x) for name in names}
    y, pull = jax.vjp(layers.activation(kind), x)
    ct = values["ct"].astype(y.dtype) if "ct" in values else jnp.ones_like(y)
    return {"y": y, "dx": pull(ct)[0]}


def _activation_inputs(case):
    kind = case["config"]["activation"]
    rows = kind in ("glu", "log_softmax")
    shape = case.get("shape") or ([64, 8] if rows else [512])
    x = {"x": store.filled(f"{case['id']}/x", shape, 0.0, case.get("std", 3.0))}
    if not rows:
        return x
    out = [*shape[:-1], shape[-1] // 2] if kind == "glu" else shape
    return {**x, "ct": store.filled(f"{case['id']}/ct", out)}


ACTIVATIONS = Recipe(_activations, _activation_inputs,
                     defaults=lambda rng: {"activation": rng.choice(sorted(layers.ACTIVATIONS))})


# ---- WSConv2D ----
def _wsconv(config, name):
    keys = {"rate": "rate", "padding": "padding", "stride": "stride", "groups": "groups", "eps": "eps"}
    options = {key: config[key] for key in keys if key in config}

    def apply(net, x):
        y = layers.ws_conv2d(net, name, x, config["out_ch"], config["kernel"], **options)
        if net.params is None:
            return y
        w, gain = net.params[f"{name}/w"], net.params[f"{name}/gain"]
        return y, {"ws": layers.standardize(w, gain, config.get("eps", 1e-4))}
    return apply


def _wsconv_inputs(case):
    c = case["config"]
    return layer_inputs(case, _wsconv(c, "conv"), (c["batch"], c["h"], c["w"], c["in_ch"]))


def _wsconv_defaults(rng):
    groups = rng.choice([1, 1, 2, 3])
    return {"kernel": rng.choice([1, 2, 3, 5]), "stride": rng.choice([1, 2]), "groups": groups,
            "in_ch": groups * rng.randint(1, 7), "out_ch": groups * rng.randint(1, 9), "h": rng.randint(6, 12),
            "w": rng.randint(6, 12), "padding": rng.choice(["SAME", "VALID"]), "batch": rng.randint(1, 3)}


WSCONV = Recipe(lambda case, values, folder: layer_outputs(
    _wsconv(case["config"], module_name(values, "conv")), values), _wsconv_inputs, defaults=_wsconv_defaults)


# ---- modules ----
def _squeeze_excite(case, values):
    c = case["config"]
    hidden = layers.hidden_channels(c["in_ch"], c.get("se_ratio", 0.5), c.get("hidden_ch"))
    name = module_name(values, "squeeze_excite")
    return lambda net, x: layers.squeeze_excite(net, name, x, c["out_ch"], hidden)


def _linear(case, values):
    name = module_name(values, "linear")
    out = values[f"p/{name}/w"].shape[1] if values else case["out"]
    return lambda net, x: layers.linear(net, name, x, out)


def _stoch_depth(case, values):
    c = case["config"]
    return lambda net, x: layers.stoch_depth(net, x, c["drop_rate"], c.get("scale_by_keep", False))


def _pool(function, case, values):
    c = case["config"]
    return lambda net, x: function(x, c["window"], c.get("stride") or c["window"], c["padding"])


# Part of a case's `reference` -> (case, values) -> layer.
_MODULES = {
    "SqueezeExcite": _squeeze_excite,
    "StochDepth": _stoch_depth,
    "hk.avg_pool": functools.partial(_pool, layers.avg_pool),
    "hk.max_pool": functools.partial(_pool, layers.max_pool),
    "hk.Linear": _linear,
    "nfnet.py:NFNet.__call__": lambda case, values: lambda net, x: jnp.mean(x, (1, 2)),
}


def _module(case, values):
    make = next((m for part, m in _MODULES.items() if part in case["reference"]), None)
    if make is None:
        raise ValueError(f"unknown module {case['reference']}")
    return make(case, values)


def _modules(case, values, folder):
    if "signal_metrics" in case["reference"]:
        names = case.get("outputs") or ["avg_sq_mean_0"]
        return layers.signal_metrics(values["x"], next(iter(names)).rsplit("_", 1)[-1])
    c = case["config"]
    key = jax.random.PRNGKey(c["rng_seed"]) if "rng_seed" in c else None
    train = c.get("is_training", True)
    return layer_outputs(_module(case, values), values, train=train, key=key)


def _module_inputs(case):
    shape = case.get("shape") or [3, 5, 4, case["config"].get("in_ch", 6)]
    if "signal_metrics" in case["reference"]:
        return {"x": store.filled(f"{case['id']}/x", shape)}
    return layer_inputs(case, _module(case, {}), shape)


def _module_extra(case, outputs):
    """The mask that stochastic depth draws, to read off the manifest."""
    c = case["config"]
    if "StochDepth" not in case["reference"] or not c.get("is_training", True):
        return {}
    net = Net({}, train=True, key=jax.random.PRNGKey(c["rng_seed"]))
    ones = jnp.ones((outputs["y"].shape[0], 1, 1, 1))
    return {"mask": np.asarray(layers.stoch_depth(net, ones, c["drop_rate"])).ravel().tolist()}


MODULES = Recipe(_modules, _module_inputs, extra=_module_extra)
