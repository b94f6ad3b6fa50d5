"""How each category of goldens is computed: from a manifest entry and its inputs to its outputs."""
from . import files, images, layers, networks, numbers, optimizers
from .base import Recipe

RECIPES: dict[str, Recipe] = {
    "fill": numbers.FILL, "activations": layers.ACTIVATIONS, "wsconv": layers.WSCONV, "modules": layers.MODULES,
    "nfblock": networks.NFBLOCK, "nfnet": networks.NFNET, "others": networks.OTHERS,
    "optim": optimizers.OPTIM, "groups": optimizers.GROUPS, "curve": optimizers.CURVE,
    "random": numbers.RANDOM, "metadata": numbers.METADATA, "checkpoints": files.CHECKPOINTS,
    "preprocess": images.PREPROCESS}
