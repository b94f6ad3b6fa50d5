"""Optimizer steps, schedules, averages, losses, accuracy; the experiments' groups; whole training runs."""
import fnmatch
import json
import re

import jax
import jax.numpy as jnp
import numpy as np

from nfnets import models, training

from . import store
from .base import Recipe, working_dtype

# ---- settings in words, as the cases have them ----
_SCHEDULES = {
    "CosineDecay": (training.cosine_decay, ("min_val", "max_val", "num_steps")),
    "WarmupCosineDecay": (training.warmup_cosine_decay,
                          ("start_val", "min_val", "max_val", "num_steps", "warmup_steps")),
    "WarmupExpDecay": (training.warmup_exp_decay,
                       ("start_val", "max_val", "warmup_steps", "decay_factor", "decay_interval")),
}
_SHORT = {"wd": "weight_decay"}


def _schedule(text):
    """`WarmupCosineDecay(0, 0.001, 0.2, 40, 8)(itr), ...` as a function of the step."""
    name, arguments = re.match(r"(\w+)\(([^()]*)\)\(itr\)", text).groups()
    return _SCHEDULES[name][0](*(json.loads(a) for a in arguments.split(",")))


def _group(text):
    """`lin/w, *gain*: SGD lr 0.1 momentum 0.9` as (predicate, settings)."""
    names, _, rules = text.partition(": ")
    patterns = [n.strip() for n in names.split(",")]

    def holds(name):
        last = name.rsplit("/", 1)[-1]
        return any(p == "rest" or fnmatch.fnmatchcase(name if "/" in p else last, p) for p in patterns)
    words = re.split(r"[\s,=]+", rules) if rules else []
    settings = {"opt": words.pop(0)} if words and words[0] in training.OPTIMIZERS else {}
    for key, value in zip(words[::2], words[1::2]):
        settings[_SHORT.get(key, key)] = None if value == "None" else float(value)
    return holds, settings


def _optimizer(config):
    not_settings = ("optimizer", "inputs_of", "itr0", "note", "groups")
    settings = {k: v for k, v in config.items() if k not in not_settings}
    groups = [_group(text) for text in config.get("groups", [])]
    if isinstance(settings.get("lr"), str):
        # The goldens' case with a schedule was made with the experiment's decay, which its settings do not name.
        settings = {"weight_decay": 2e-5, **settings, "lr": _schedule(settings["lr"])}
    if config["optimizer"] != "Hybrid":
        return training.Optimizer(config["optimizer"], settings, groups)
    defaults = {}
    for _, group in reversed(groups):  # the first group that has a key wins
        defaults.update(training.OPTIMIZERS[group["opt"]][1])
    return training.Optimizer("SGD", settings, groups, defaults)


# ---- optim ----
def _problem(case, folder):
    """Parameters and the gradients of each step, which another case holds."""
    other = folder.case(case["config"]["inputs_of"])
    values = {name: jnp.asarray(v, working_dtype()) for name, v in folder.inputs(other).items()}
    params = {name[2:]: v for name, v in values.items() if name.startswith("p/")}
    steps = sum(name.split("/", 1)[1] == next(iter(params)) for name in values) - 1
    return params, [{name: values[f"g{t}/{name}"] for name in params} for t in range(steps)]


def _steps(case, values, folder):
    params, gradients = _problem(case, folder)
    optimizer, first = _optimizer(case["config"]), case["config"].get("itr0", 0)
    states, outputs = optimizer.init(params), {}
    for t, grads in enumerate(gradients):
        params, states = optimizer.step(params, grads, states, itr=jnp.int32(first + t))
        outputs.update({f"p{t}/{name}": value for name, value in params.items()})
        for name, state in states.items():
            outputs.update({f"{part}{t}/{name}": v for part, v in state.items() if part != "step"})
    return outputs


def _agc_optax(case, values, folder):
    params, gradients = _problem(case, folder)
    clip, eps = case["config"]["clip"], case["config"]["eps"]
    return {**{f"norm/{n}": training.unitwise_norm(g) for n, g in gradients[0].items()},
            **{f"u/{n}": training.agc_optax(params[n], g, clip, eps) for n, g in gradients[0].items()}}


def _learning_rates(case, values, folder):
    name = re.search(r":(\w+)", case["reference"])[1]
    make, names = _SCHEDULES[name]
    schedule = make(*(case["config"][n] for n in names))
    return {"lr": jnp.stack([jnp.asarray(schedule(t), working_dtype()) for t in values["itr"]])}


def _averages(case, values, folder):
    outputs, sequence, steps = {}, values["seq"], values["steps"].tolist()
    names = case.get("outputs") or [f"{kind}/{decay}/{t}" for kind in ("ema", "tf1_ema")
                                    for decay in (0.9, 0.99999) for t in range(1, len(steps))]
    for kind, decay in dict.fromkeys(tuple(name.split("/")[:2]) for name in names):
        average = sequence[0]
        for t in range(1, len(steps)):
            average = getattr(training, kind)(average, sequence[t], float(decay), steps[t])
            outputs[f"{kind}/{decay}/{t}"] = average
    return outputs


def _losses(case, values, folder):
    classes, smoothing = case["config"]["classes"], case["config"]["label_smoothing"]
    y, mix = training.one_hot(values["labels"], classes), training.one_hot(values["mix"], classes)
    ratio, outputs = values["ratio"][:, None], {}
    targets = {"plain": y, "smooth": training.smooth(y, smoothing, classes),
               "mix_smooth": training.smooth(ratio * y + (1.0 - ratio) * mix, smoothing, classes)}
    for name, target in targets.items():
        def loss(x, reduction="mean", target=target):
            return training.softmax_cross_entropy(x, target, reduction)
        outputs.update({f"{name}/{r}": loss(values["x"], r) for r in ("none", "sum", "mean")})
        outputs[f"{name}/dx"] = jax.grad(loss)(values["x"])
    return outputs


def _accuracy(case, values, folder):
    outputs = {}
    for k in case["config"]["topk"]:
        correct = training.top_k_accuracy(values["x"], values["labels"], k)
        outputs[f"top_{k}_acc"] = correct
        if k in case["config"].get("masked", []):
            outputs[f"masked_top_{k}_acc"] = correct * values["mask"].astype(jnp.float32)
    return outputs


_OPTIM = {"none": lambda case, values, folder: {}, "optim.py:SGD": _steps, "optim.py:Adam": _steps,
          "optim.py:RMSProp": _steps, "optim.py:Fromage": _steps, "optim.py:Hybrid": _steps,
          "agc_optax.py": _agc_optax, "utils.py:tf1_ema": _averages,
          "utils.py:softmax_cross_entropy": _losses, "utils.py:topk_correct": _accuracy,
          **{f"optim.py:{name}": _learning_rates for name in _SCHEDULES}}


def _optim(case, values, folder):
    run = next((r for part, r in _OPTIM.items() if case["reference"].startswith(part)), None)
    if run is None:
        raise ValueError(f"unknown optimizer {case['reference']}")
    return run(case, values, folder)


def _optim_inputs(case):
    id_, config, reference = case["id"], case["config"], case["reference"]
    if "inputs_of" in config:
        return {}
    if "shapes" in config:  # a problem for others: parameters, and gradients of five steps
        entries = {}
        for prefix, std in (("p", 0.5), *((f"g{t}", 0.1) for t in range(5))):
            for name, shape in config["shapes"].items():
                mean = 0.1 if prefix == "p" else 0.0
                entries[f"{prefix}/{name}"] = store.filled(f"{id_}/{prefix}/{name}", shape, mean, std)
        return entries
    if "softmax" in reference:
        n, c = config.pop("batch", 4), config["classes"]
        return {"x": store.filled(f"{id_}/x", [n, c]), "labels": store.filled_int(f"{id_}/labels", [n], c),
                "mix": store.filled_int(f"{id_}/mix", [n], c), "ratio": store.filled(f"{id_}/ratio", [n], 0.5, 0.2)}
    if "topk" in reference:
        return {"x": store.filled(f"{id_}/x", [9, 12]), "labels": store.filled_int(f"{id_}/labels", [9], 12),
                "mask": store.filled_int(f"{id_}/mask", [9], 2)}
    if "ema" in reference:
        return {"seq": store.filled(f"{id_}/seq", [8, 7]), "steps": store.filled_int(f"{id_}/steps", [8], 50)}
    return {"itr": store.filled_int(f"{id_}/itr", [40], int(config.get("num_steps", 120)))}


OPTIM = Recipe(_optim, _optim_inputs,
               f32_only=lambda name: bool(re.match(r"(masked_)?top_\d+_acc$", name)),
               defaults=lambda rng: {"lr": rng.choice([0.01, 0.3]), "momentum": rng.choice([None, 0.5, 0.9]),
                                     "weight_decay": rng.choice([None, 1e-4, 0.1]), "optimizer": "SGD_AGC",
                                     "clipping": rng.choice([0.01, 0.1]), "eps": 1e-3})

# ---- groups ----
_IMAGES, _EPOCHS = 1281167, 360


def _experiment(batch, min_val, own):
    """The settings of an experiment; `own` are those in which the two differ."""
    schedule = {"num_steps": _IMAGES * _EPOCHS // batch, "start_val": 0, "min_val": min_val,
                "warmup_steps": 5 * (_IMAGES / batch)}
    config = {"num_epochs": _EPOCHS, "label_smoothing": 0.1, "image_size": 224, "use_ema": True,
              "ema_decay": 0.99999, "ema_start": 0, "train_batch_size": batch, "eval_batch_size": 50,
              "eval_subset": "test", "num_classes": 1000, "which_dataset": "imagenet",
              "which_loss": "softmax_cross_entropy",
              "lr_schedule": {"name": "WarmupCosineDecay", "kwargs": schedule}, **own}
    return {"training_steps": schedule["num_steps"], "random_seed": 0,
            "experiment_kwargs": {"config": config}, "log_train_data_interval": 60,
            "log_tensors_interval": 60, "save_checkpoint_interval": 60, "eval_specific_checkpoint_dir": ""}


def experiments():
    """The settings of experiment_nfnets.py for F0 and of experiment_nf_regnets.py for B0."""
    sgd = {"momentum": 0.9, "nesterov": True}
    return {
        "nfnets": _experiment(4096, 0.0, {
            "lr": 0.1, "model": "NFNet", "augment_name": "cutmix_mixup_randaugment_405",
            "augment_before_mix": False, "eval_preproc": "resize_crop_32", "bfloat16": True,
            "lr_scale_by_bs": True,
            "optimizer": {"name": "SGD_AGC",
                          "kwargs": {**sgd, "weight_decay": 2e-5, "clipping": 0.01, "eps": 1e-3}},
            "model_kwargs": {"variant": "F0", "width": 1.0, "se_ratio": 0.5, "alpha": 0.2,
                             "stochdepth_rate": 0.25, "drop_rate": None, "activation": "gelu",
                             "final_conv_mult": 2, "final_conv_ch": None, "use_two_convs": True}}),
        "nf_regnets": _experiment(1024, 0.001, {
            "lr": 0.4, "model": "NF_RegNet", "augment_name": "mixup_cutmix", "bfloat16": False,
            "lr_scale_by_bs": False, "optimizer": {"name": "SGD", "kwargs": {**sgd, "weight_decay": 5e-5}},
            "model_kwargs": {"variant": "B0", "width": 0.75, "expansion": 2.25, "se_ratio": 0.5,
                             "alpha": 0.2, "stochdepth_rate": 0.1, "drop_rate": None,
                             "activation": "silu"}})}


TINY = {"width": [16, 32, 64, 64], "depth": [1, 2, 2, 1], "group_width": [8] * 4, "train_imsize": 32,
        "test_imsize": 32, "drop_rate": 0.0}


def _groups(case, values, folder):
    config = experiments()
    kwargs = config["nfnets"]["experiment_kwargs"]["config"]["optimizer"]["kwargs"]
    optimizer = training.Optimizer("SGD_AGC", kwargs, training.nfnet_groups())
    side = {"config": config}
    for name, variant in (("F0", "F0"), ("Tiny", TINY)):
        created, _ = models.nfnet(1000, variant).created()
        settings = {p: optimizer.settings_of(p) for p in created}
        side[name] = {p: {k: s[k] for k in ("weight_decay", "clipping")} for p, s in settings.items()}
    return {"side": side}


GROUPS = Recipe(_groups, lambda case: {}, side="json", f32_only=lambda name: True)


# ---- curves ----
def batch_of(config, t):
    """Images and labels of step t: noise plus a pattern for each class. In f32."""
    seed, n, size, classes = (config[k] for k in ("seed", "batch", "imsize", "classes"))
    labels = store.fill_int(f"{seed}/labels/{t}", (n,), classes)
    pattern = store.fill(f"{seed}/class", (classes, 4, 4, 3))
    pattern = pattern.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    return store.fill(f"{seed}/img/{t}", (n, size, size, 3)) + pattern[labels], labels


def _curve_parts(config):
    keys = ("variant", "drop_rate", "stochdepth_rate")
    options = {k: config[k] for k in keys if k in config}
    model = models.nfnet(config["classes"], **options, **config.get("model_kwargs", {}))
    schedule = training.warmup_cosine_decay(
        config["start_val"], config["min_val"], config["max_lr"], config["num_steps"], config["warmup_steps"])
    names = ("momentum", "nesterov", "weight_decay", *(("clipping", "eps") if config["optimizer"] == "SGD_AGC" else ()))
    groups = training.nfnet_groups()
    if not config["groups"].startswith("as experiment_nfnets"):
        groups = groups[:1]
    return model, schedule, {k: config[k] for k in names}, groups


def _curve(case, values, folder):
    config = case["config"]
    model, schedule, settings, groups = _curve_parts(config)
    shapes = {name: c.shape for name, c in model.created()[0].items()}
    dtype = working_dtype()
    params = {n: jnp.asarray(v, dtype) for n, v in store.fill_parameters(config["seed"], shapes).items()}
    steps = config["num_steps"]

    def loss(params, x, labels):
        out, _ = model.apply(params, x, train=True)
        y = training.smooth(training.one_hot(labels, config["classes"]), config["label_smoothing"], config["classes"])
        return training.softmax_cross_entropy(out["logits"], y)

    # The schedule is part of the compiled step, as it is in the reference: its f32 is rounded otherwise by itself.
    optimizer = training.Optimizer(config["optimizer"], {**settings, "lr": schedule}, groups)

    @jax.jit
    def step(params, states, average, x, labels, t, decay):
        value, grads = jax.value_and_grad(loss)(params, x, labels)
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in grads.values()))
        params, states = optimizer.step(params, grads, states, itr=t)
        average = {n: training.ema(average[n], params[n], decay) for n in params}
        return params, states, average, value, norm

    states = optimizer.init(params)
    average, rows = params, []
    for t in range(steps):
        x, labels = batch_of(config, t)
        lr = jnp.asarray(schedule(jnp.int32(t)), dtype)  # as the case records it
        decay = jnp.asarray(min(config["ema_decay"], (1.0 + t) / (10.0 + t)), dtype)
        params, states, average, value, norm = step(params, states, average, jnp.asarray(x, dtype), labels, jnp.int32(t), decay)
        rows.append((value, norm, lr))
    series = [jnp.stack(column) for column in zip(*rows)]
    return {**dict(zip(("loss", "grad_norm", "lr"), series)),
            **{f"final/{n}": v for n, v in params.items()}, **{f"ema/{n}": v for n, v in average.items()}}


def _curve_extra(case, outputs):
    """Where the loss turns NaN, if it does."""
    bad = np.flatnonzero(np.isnan(outputs["loss"]))
    return {"first_nan_step": int(bad[0])} if bad.size else {}


def _curve_inputs(case):
    case["config"].setdefault("seed", case["id"])
    return {}


def _curve_defaults(rng):
    return {"variant": TINY, "optimizer": "SGD_AGC", "max_lr": rng.choice([0.05, 0.1, 0.2]), "start_val": 0,
            "min_val": 0.0, "num_steps": 30, "warmup_steps": 5, "momentum": 0.9, "nesterov": True,
            "weight_decay": 2e-5, "clipping": 0.01, "eps": 1e-3, "label_smoothing": 0.1, "batch": 8,
            "imsize": 32, "classes": 10, "drop_rate": 0.0, "stochdepth_rate": 0.0, "ema_decay": 0.99,
            "model_kwargs": {}, "groups": "as experiment_nfnets.py"}


CURVE = Recipe(_curve, _curve_inputs, extra=_curve_extra, defaults=_curve_defaults)
