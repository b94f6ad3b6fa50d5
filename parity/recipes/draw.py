"""Cases of settings drawn from a seed: what `generate.py --seed` makes."""
import random

from . import RECIPES

_OPT_SHAPES = {"conv/w": [3, 3, 4, 6], "conv/gain": [6], "conv/bias": [6], "lin/w": [9, 4], "lin/b": [4],
               "cube/w": [2, 3, 4], "unit/w": [1, 1, 1, 7], "block/skip_gain": []}
_BN = {"create_scale": True, "create_offset": True, "decay_rate": 0.9}

# (category, reference, how many, settings beside the drawn ones)
_DRAWN = [
    ("fill", "none", 1, {}),
    ("activations", "base.py:nonlinearities", 6, {}),
    ("wsconv", "base.py:WSConv2D.__call__", 10, {}),
    ("modules", "base.py:SqueezeExcite", 1, {"in_ch": 9, "out_ch": 14, "se_ratio": 0.5}),
    ("modules", "base.py:StochDepth", 1, {"drop_rate": 0.4, "rng_seed": 11, "scale_by_keep": True}),
    ("modules", "hk.avg_pool", 1, {"window": 3, "stride": 2, "padding": "SAME"}),
    ("modules", "hk.max_pool", 1, {"window": 2, "stride": 2, "padding": "VALID"}),
    ("modules", "base.py:signal_metrics", 1, {}),
    ("nfblock", "nfnet.py:NFBlock.__call__", 6, {}),
    ("nfblock", "nf_regnet.py:NFBlock.__call__", 3, {}),
    ("nfblock", "nf_resnet.py:NFResBlock.__call__", 3, {}),
    ("nfnet", "nfnet.py:NFNet.__call__", 2, {}),
    ("others", "nf_resnet.py:NF_ResNet", 1, {}),
    ("others", "resnet.py:ResNet.__call__", 1, {"norm_kwargs": _BN, "preactivation": True, "use_se": False,
                                                "is_training": True}),
    ("others", "skipinit_resnet.py:SkipInit_ResNet", 1, {}),
    ("others", "fixup_resnet.py:FixUp_ResNet", 1, {}),
    ("optim", "none", 1, {"shapes": _OPT_SHAPES}),
    ("optim", "optim.py:SGD_AGC", 4, {"inputs_of": "PROBLEM", "itr0": 0}),
    ("optim", "optim.py:Adam", 1, {"optimizer": "Adam", "lr": 0.01, "inputs_of": "PROBLEM", "itr0": 0}),
    ("optim", "utils.py:softmax_cross_entropy, experiment.py:_loss_fn", 1, {"classes": 7, "label_smoothing": 0.2}),
    ("optim", "optim.py:WarmupCosineDecay.__call__", 1, {
        "start_val": 0.01, "min_val": 0.001, "max_val": 0.8, "num_steps": 90, "warmup_steps": 7.5}),
    ("curve", "optim.py:SGD_AGC, WarmupCosineDecay", 1, {}),
    ("random", "jax.random (threefry2x32)", 1, {"jax_threefry_partitionable": True}),
    ("preprocess", "nfnet_demo_colab.ipynb", 2, {}),
]
_WITHOUT_DRAWS = ("softmax", "WarmupCosineDecay.__call__", "Adam", "none")


def new_cases(seed):
    """Case descriptions, as a file for `--cases` holds them."""
    rng, cases, problem = random.Random(seed), [], f"opt-problem-s{seed}"
    for category, reference, count, fixed in _DRAWN:
        defaults = RECIPES[category].defaults
        drawn = defaults and not any(part in reference for part in _WITHOUT_DRAWS)
        short = reference.split(":")[-1].split(".__")[0].split(",")[0].split(" ")[0].replace("hk.", "").lower()
        for _ in range(count):
            config = {**(defaults(rng) if drawn or category == "curve" else {}), **fixed}
            if config.get("inputs_of"):
                config["inputs_of"] = problem
            if "nf_resnet.py:NFRes" in reference:
                config.pop("group_size", None)
            if category == "others" and "resnet.py:ResNet" in reference:
                config = {k: v for k, v in config.items() if k != "stochdepth_rate"}
            if category == "random":
                config.pop("seed")
            number = sum(case["id"].startswith(f"{category}-{short}-") for case in cases)
            id_ = problem if "shapes" in config else f"{category}-{short}-{number}-s{seed}"
            cases.append({"id": id_, "category": category, "reference": reference, "config": config})
    return cases
