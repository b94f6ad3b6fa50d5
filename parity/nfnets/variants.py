"""The named sizes of the networks, and the settings of the Normalizer-Free blocks that follow from them."""
from .layers import hidden_channels

_IMAGE_SIZES = {"F0": (192, 256), "F1": (224, 320), "F2": (256, 352), "F3": (320, 416),
                "F4": (384, 512), "F5": (416, 544), "F6": (448, 576), "F7": (480, 608)}
_DROP_RATES = {"F0": 0.2, "F1": 0.3, "F2": 0.4, "F3": 0.4, "F4": 0.5, "F5": 0.5, "F6": 0.5, "F7": 0.5}

NFNETS = {}
for _i, (_name, (_train, _test)) in enumerate(_IMAGE_SIZES.items()):
    for _suffix, _width in (("", [256, 512, 1536, 1536]), ("+", [384, 768, 2048, 2048])):
        NFNETS[_name + _suffix] = {
            "width": _width, "depth": [(_i + 1) * d for d in (1, 2, 6, 3)], "train_imsize": _train,
            "test_imsize": _test, "drop_rate": _DROP_RATES[_name]}

NF_REGNETS = {
    name: {"width": width, "depth": depth, "train_imsize": train, "test_imsize": test, "drop_rate": drop}
    for name, width, depth, train, test, drop in (
        ("B0", [48, 104, 208, 440], [1, 3, 6, 6], 192, 224, 0.2),
        ("B1", [48, 104, 208, 440], [2, 4, 7, 7], 224, 256, 0.2),
        ("B2", [56, 112, 232, 488], [2, 4, 8, 8], 240, 272, 0.3),
        ("B3", [56, 128, 248, 528], [2, 5, 9, 9], 288, 320, 0.3),
        ("B4", [64, 144, 288, 616], [2, 6, 11, 11], 320, 384, 0.4),
        ("B5", [80, 168, 336, 704], [3, 7, 14, 14], 384, 456, 0.4),
        ("B6", [88, 184, 376, 792], [3, 8, 16, 16], 448, 528, 0.5),
        ("B7", [96, 208, 416, 880], [4, 10, 19, 19], 512, 600, 0.5),
        ("B8", [104, 232, 456, 968], [4, 11, 22, 22], 600, 672, 0.5))}

RESNETS = {f"ResNet{n}": {"depth": depth} for n, depth in (
    (50, [3, 4, 6, 3]), (101, [3, 4, 23, 3]), (152, [3, 8, 36, 3]), (200, [3, 24, 36, 3]),
    (288, [24] * 4), (600, [50] * 4))}


def sizes(variant, table):
    """A variant's entry: by name, or the entry itself."""
    return table[variant] if isinstance(variant, str) else variant


def numbered(name, i):
    """Haiku's name of the i-th module of one kind."""
    return name if i == 0 else f"{name}_{i}"


def betas(depths, alpha):
    """(stage, place in the stage, beta) of each block: 1 / expected standard deviation of its input.

    A stage's first block still sees what grew in the stage before; after it, growth starts again from 1.
    """
    std = 1.0
    for stage, depth in enumerate(depths):
        for place in range(depth):
            yield stage, place, 1.0 / std
            std = ((1.0 if place == 0 else std) ** 2 + alpha**2) ** 0.5


def nf_block(in_ch, out_ch, expansion=0.5, se_ratio=0.5, kernel_shape=3, group_size=128, stride=1, beta=1.0,
             alpha=0.2, big_width=True, use_two_convs=True, stochdepth_rate=None):
    """Settings of NFNet's block (nfnet.py: NFBlock)."""
    groups = int((out_ch if big_width else in_ch) * expansion) // group_size
    return {"in_ch": in_ch, "out_ch": out_ch, "width": group_size * groups, "groups": groups, "stride": stride,
            "use_projection": stride > 1 or in_ch != out_ch, "beta": beta, "alpha": alpha,
            "expansion": expansion, "use_two_convs": use_two_convs,
            "se_hidden": hidden_channels(out_ch, se_ratio), "stochdepth_rate": stochdepth_rate or 0,
            "kernel": kernel_shape}


def nf_regnet_block(in_ch, out_ch, expansion=2.25, se_ratio=0.5, kernel_size=3, group_size=8, stride=1,
                    beta=1.0, alpha=0.2, stochdepth_rate=None):
    """Settings of NF-RegNet's block (nf_regnet.py: NFBlock)."""
    groups = int(in_ch * expansion) // group_size
    width = group_size * groups
    return {"in_ch": in_ch, "out_ch": out_ch, "width": width, "groups": groups, "stride": stride,
            "use_projection": stride > 1 or in_ch != out_ch, "beta": beta, "alpha": alpha,
            "expansion": expansion, "se_hidden": hidden_channels(width, se_ratio),
            "stochdepth_rate": stochdepth_rate or 0, "kernel": kernel_size}


def nf_res_block(in_ch, out_ch, bottleneck_ratio=0.25, kernel_size=3, stride=1, beta=1.0, alpha=0.2,
                 use_se=False, se_ratio=0.25, stochdepth_rate=None):
    """Settings of NF-ResNet's block (nf_resnet.py: NFResBlock)."""
    settings = {"in_ch": in_ch, "out_ch": out_ch, "width": int(out_ch * bottleneck_ratio), "stride": stride,
                "use_projection": stride > 1 or in_ch != out_ch, "beta": beta, "alpha": alpha,
                "use_se": use_se, "stochdepth_rate": stochdepth_rate or 0, "kernel": kernel_size}
    return {**settings, "se_hidden": hidden_channels(out_ch, se_ratio)} if use_se else settings
