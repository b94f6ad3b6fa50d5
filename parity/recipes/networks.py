"""Blocks and whole networks: values and metrics in evaluation; loss and gradients in training."""
import jax

from nfnets import layers, models, resnets, training, variants

from . import store
from .base import (
    Recipe, filled_parameters, image_shape, layer_inputs, layer_outputs, module_name, parameter_entries,
    parameters)

# ---- blocks ----
_BLOCKS = {
    "nfnet.py:NFBlock": (variants.nf_block, models.nf_block),
    "nf_regnet.py:NFBlock": (variants.nf_regnet_block, models.nf_regnet_block),
    "nf_resnet.py:NFResBlock": (variants.nf_res_block, models.nf_res_block),
}
_NOT_SETTINGS = ("h", "w", "batch", "activation", "rng_seed")


def _block(case, name):
    settings_of, block = next(pair for part, pair in _BLOCKS.items() if case["reference"].startswith(part))
    config = case["config"]
    settings = settings_of(**{k: v for k, v in config.items() if k not in _NOT_SETTINGS})
    act = layers.activation(config["activation"])

    def apply(net, x):
        y, variance = block(net, name, x, settings, act)
        return y, {"res_avg_var": variance}
    return apply


def _nfblock(case, values, folder):
    seed = case["config"].get("rng_seed")
    net = {} if seed is None else {"train": True, "key": jax.random.PRNGKey(seed)}
    return layer_outputs(_block(case, module_name(values, "block")), values, **net)


def _nfblock_inputs(case):
    return layer_inputs(case, _block(case, "block"), image_shape(case["config"], case["config"]["in_ch"]))


def _nfblock_defaults(rng):
    return {"in_ch": 4 * rng.randint(2, 5), "out_ch": 4 * rng.randint(2, 6), "stride": rng.choice([1, 2]),
            "beta": round(rng.uniform(0.5, 1), 3), "alpha": round(rng.uniform(0.1, 1), 3), "group_size": 4,
            "h": rng.randint(2, 9), "w": rng.randint(2, 9), "batch": rng.randint(1, 3),
            "activation": rng.choice(["gelu", "silu", "relu", "celu", "tanh", "softplus", "leaky_relu"])}


NFBLOCK = Recipe(_nfblock, _nfblock_inputs, defaults=_nfblock_defaults)

# ---- networks ----
_NETWORKS = {"nfnet.py": models.nfnet, "nf_regnet.py": models.nf_regnet, "nf_resnet.py": models.nf_resnet,
             "skipinit_resnet.py": resnets.skipinit_resnet, "fixup_resnet.py": resnets.fixup_resnet,
             "resnet.py": resnets.resnet}
_NOT_OPTIONS = ("batch", "imsize", "h", "w", "label_smoothing", "rng_seed", "is_training", "depth", "seed")
TINY_DEPTH = [1, 2, 1, 1]  # of the residual networks' variant Tiny in the goldens


def network(case):
    """The model of a case."""
    file = case["reference"].split(":")[0]
    config = {k: v for k, v in case["config"].items() if k not in _NOT_OPTIONS}
    if config.get("variant") == "Tiny":
        config["variant"] = {"depth": case["config"].get("depth", TINY_DEPTH)}
    if file in ("skipinit_resnet.py", "fixup_resnet.py"):
        config = {"drop_rate": 0.0, "stochdepth_rate": 0.0, **config}
    return _NETWORKS[file](**config)


def case_parameters(case, values, model):
    """Listed ones, or those that the case's seed fills."""
    listed = parameters(values)
    if listed:
        return listed
    return filled_parameters(case, {name: c.shape for name, c in model.created()[0].items()})


def _state(values):
    return {name[2:]: value for name, value in values.items() if name.startswith("s/")}


def _networks(case, values, folder):
    model, config = network(case), case["config"]
    params, state = case_parameters(case, values, model), _state(values)
    train = config.get("is_training", "labels" in values)
    key = jax.random.PRNGKey(config["rng_seed"]) if "rng_seed" in config else None
    if "labels" not in values:
        outputs, _ = model.apply(params, values["x"], train, key, state, metrics=True)
        return outputs

    def loss(params, x):
        out, after = model.apply(params, x, train, key, state, metrics=bool(state))
        out = out if state else {"logits": out["logits"]}
        classes = config["num_classes"]
        y = training.smooth(training.one_hot(values["labels"], classes), config.get("label_smoothing", 0), classes)
        return training.softmax_cross_entropy(out["logits"], y), (out, after)

    (value, (out, after)), (dp, dx) = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, values["x"])
    return {"loss": value, **out, "d/x": dx, **{f"d/p/{name}": d for name, d in dp.items()},
            **{f"s/{name}": v for name, v in after.items()}}


def _network_inputs(case):
    config, id_ = case["config"], case["id"]
    entries = {"x": store.filled(f"{id_}/x", image_shape(config))}
    if "label_smoothing" in config or config.get("is_training"):
        entries["labels"] = store.filled_int(f"{id_}/labels", [image_shape(config)[0]], config["num_classes"])
    created, state = network(case).created()
    if state:
        case["params"] = {"seed": id_, "rule": "by kind (README)"}
        for name, shape in state.items():
            std = 0.1 if name.endswith("hidden") or "mean" in name else 0.3
            mean = 1.5 if "var_ema" in name else 0.0
            counter = name.endswith("counter")
            entries[f"s/{name}"] = (store.filled_int(f"{id_}/{name}", shape, 9) if counter
                                    else store.filled(f"{id_}/{name}", shape, mean, std))
        return entries
    return {**entries, **parameter_entries(id_, created)}


def _tiny(rng):
    return {"width": [8 * rng.randint(1, 4) for _ in range(4)], "depth": [rng.randint(1, 2) for _ in range(4)],
            "expansion": [rng.choice([0.5, 1.0])] * 4, "group_width": [4] * 4, "big_width": [True] * 4,
            "train_imsize": 32, "test_imsize": 32, "drop_rate": 0.0}


def _nfnet_defaults(rng):
    return {"variant": _tiny(rng), "num_classes": rng.randint(2, 20), "batch": rng.randint(1, 3),
            "imsize": [rng.randint(24, 48), rng.randint(24, 48)], "stochdepth_rate": 0.0, "label_smoothing": 0.1,
            "activation": rng.choice(["gelu", "silu", "relu", "celu", "tanh"]), "alpha": 0.3}


def _others_defaults(rng):
    return {"variant": {"depth": [rng.randint(1, 2) for _ in range(4)]}, "width": 1, "num_classes": 10,
            "activation": "relu", "stochdepth_rate": 0.0, "drop_rate": 0.0, "batch": 2, "imsize": 40,
            "label_smoothing": 0.1}


NFNET = Recipe(_networks, _network_inputs, side="gradients", defaults=_nfnet_defaults)
OTHERS = Recipe(_networks, _network_inputs, side="gradients", defaults=_others_defaults)
