"""The opponents: residual networks with BatchNorm (v1 and v2), with SkipInit and with Fixup."""
from . import variants
from .layers import (
    ONES, PLAIN, ZEROS, Init, batch_norm, conv2d, max_pool, residual_variance, squeeze_excite)
from .models import Model, blocks_flops, body, conv_flops, drop_branch, join_branch


def _stages(depths, width):
    """(index, place in the stage, output channels, stride) of each block."""
    index = 0
    for stage, depth in enumerate(depths):
        for place in range(depth):
            yield index, place, 64 * 2**stage * width, 2 if stage > 0 and place == 0 else 1
            index += 1


# ---- BatchNorm ----
def _res_block_v2(net, path, x, s, act):
    norm = s["norm"]
    out = act(norm(net, f"{path}/~/bn0", x))
    shortcut = x
    if s["use_projection"]:
        shortcut = conv2d(net, f"{path}/~/conv_shortcut", out, s["out_ch"], 1, s["stride"], bias=False)
    out = conv2d(net, f"{path}/~/conv0", out, s["width"], 1, bias=False)
    out = act(norm(net, f"{path}/~/bn1", out))
    out = conv2d(net, f"{path}/~/conv1", out, s["width"], 3, s["stride"], bias=False)
    out = act(norm(net, f"{path}/~/bn2", out))
    out = conv2d(net, f"{path}/~/conv2", out, s["out_ch"], 1, bias=False)
    out = _excite(net, path, out, s)
    return out + shortcut, residual_variance(out)


def _res_block_v1(net, path, x, s, act):
    norm, shortcut = s["norm"], x
    if s["use_projection"]:
        shortcut = conv2d(net, f"{path}/~/conv_shortcut", x, s["out_ch"], 1, s["stride"], bias=False)
        shortcut = norm(net, f"{path}/shortcut_bn", shortcut)
    out = act(norm(net, f"{path}/~/bn0", conv2d(net, f"{path}/~/conv0", x, s["width"], 1, bias=False)))
    out = conv2d(net, f"{path}/~/conv1", out, s["width"], 3, s["stride"], bias=False)
    out = act(norm(net, f"{path}/~/bn1", out))
    out = norm(net, f"{path}/~/bn2", conv2d(net, f"{path}/~/conv2", out, s["out_ch"], 1, bias=False))
    out = _excite(net, path, out, s)
    return act(out + shortcut), residual_variance(out)


def _excite(net, path, out, s):
    if not s["use_se"]:
        return out
    return squeeze_excite(net, f"{path}/~/squeeze_excite", out, s["out_ch"], s["se_hidden"]) * out


def resnet(num_classes, width=4, variant="ResNet50", norm_kwargs=None, activation="relu", drop_rate=0.0,
           preactivation=True, use_se=False, se_ratio=0.25, name="ResNet"):
    """resnet.py: ResNet, with BatchNorm; v2 (preactivation) or v1."""
    v = variants.sizes(variant, variants.RESNETS)
    act, settings = PLAIN[activation], {"decay_rate": 0.9, **(norm_kwargs or {})}

    def norm(net, path, x):
        return batch_norm(net, path, x, **settings)

    block, kind = (_res_block_v2, "res_block_v2") if preactivation else (_res_block_v1, "res_block_v1")
    blocks = []
    for i, place, out_ch, stride in _stages(v["depth"], width):
        s = {"index": i, "name": variants.numbered(kind, i), "out_ch": out_ch, "width": out_ch // 4,
             "stride": stride, "use_projection": place == 0, "use_se": use_se, "stochdepth_rate": 0}
        blocks.append({**s, "se_hidden": max(1, int(out_ch * se_ratio))} if use_se else s)
    inner = [{**s, "norm": norm} for s in blocks]

    def run(net, x):
        x = conv2d(net, f"{name}/~/initial_conv", x, 16 * width, 7, 2, bias=False)
        if not preactivation:
            x = act(norm(net, f"{name}/~/initial_bn", x))
        head = {"features": (lambda y: act(norm(net, f"{name}/~/final_bn", y))) if preactivation else lambda y: y,
                "drop_rate": drop_rate, "classes": num_classes, "init": ZEROS}
        return body(net, max_pool(x, 3, 2), name, inner, block, act, head)

    return Model(name, blocks, drop_rate, run, None)


# ---- SkipInit and Fixup ----
def _plain_blocks(depths, width, stochdepth_rate, kind):
    ch, blocks, total = int(16 * width), [], sum(depths)
    for i, _, out_ch, stride in _stages(depths, width):
        blocks.append({
            "index": i, "name": variants.numbered(kind, i), "in_ch": ch, "out_ch": out_ch,
            "width": int(out_ch * 0.25), "stride": stride, "use_projection": stride > 1 or ch != out_ch,
            "stochdepth_rate": stochdepth_rate * i / total})
        ch = out_ch
    return blocks


def _plain_flops(blocks, width, num_classes):
    def flops(h, w):
        counted = [{**s, "kernel": 3, "shortcut_stride": s["stride"]} for s in blocks]
        inner, _, _ = blocks_flops(counted, h / 2, w / 2)
        return [conv_flops(3, int(16 * width), 7, h, w, 2), *inner, blocks[-1]["out_ch"] * num_classes]
    return flops


def _skipinit_block(net, path, x, s, act):
    out, shortcut = act(x), x
    if s["use_projection"]:
        shortcut = conv2d(net, f"{path}/~/conv_shortcut", out, s["out_ch"], 1, s["stride"])
    out = conv2d(net, f"{path}/~/conv0", out, s["width"], 1)
    out = conv2d(net, f"{path}/~/conv1", act(out), s["width"], 3, s["stride"])
    out = conv2d(net, f"{path}/~/conv2", act(out), s["out_ch"], 1)
    return join_branch(net, path, out, shortcut, {**s, "alpha": 1})


def skipinit_resnet(num_classes, variant="ResNet50", width=4, stochdepth_rate=0.1, drop_rate=0.0,
                    activation="relu", name="SkipInit_ResNet"):
    """skipinit_resnet.py: SkipInit_ResNet."""
    v = variants.sizes(variant, variants.RESNETS)
    act = PLAIN[activation]
    blocks = _plain_blocks(v["depth"], width, stochdepth_rate, "nf_res_block")

    def run(net, x):
        x = max_pool(conv2d(net, f"{name}/~/initial_conv", x, int(16 * width), 7, 2, bias=False), 3, 2)
        head = {"features": act, "drop_rate": drop_rate, "classes": num_classes, "init": ZEROS}
        return body(net, x, name, blocks, _skipinit_block, act, head)

    return Model(name, blocks, drop_rate, run, _plain_flops(blocks, width, num_classes))


def _fixup_block(net, path, x, s, act):
    bias = {n: net.param(f"{path}/bias{n}", (), ZEROS) for n in ("1a", "1b", "2a", "2b", "3a", "3b")}
    scale = net.param(f"{path}/scale", (), ONES)
    shrink = s["blocks"] ** -0.25
    out = shortcut = x + bias["1a"]

    def conv(name, y, out_ch, kernel, stride, deviation):
        init = Init("normal", deviation) if deviation else ZEROS
        return conv2d(net, f"{path}/~/{name}", y, out_ch, kernel, stride, bias=False, init=init)

    if s["use_projection"]:
        shortcut = conv("conv_shortcut", shortcut, s["out_ch"], 1, s["stride"], (2 / s["out_ch"]) ** 0.5)
    out = conv("conv0", out, s["width"], 1, 1, (2 / s["width"]) ** 0.5 * shrink)
    out = act(out + bias["1b"])
    out = conv("conv1", out + bias["2a"], s["width"], 3, s["stride"], (2 / (s["width"] * 9)) ** 0.5 * shrink)
    out = act(out + bias["2b"])
    out = conv("conv2", out + bias["3a"], s["out_ch"], 1, 1, 0)
    out = out * scale + bias["3b"]
    variance = residual_variance(out)
    return act(drop_branch(net, out, s["stochdepth_rate"]) + shortcut), variance


def fixup_resnet(num_classes, variant="ResNet50", width=4, stochdepth_rate=0.1, drop_rate=0.0,
                 activation="relu", name="FixUp_ResNet"):
    """fixup_resnet.py: FixUp_ResNet."""
    v = variants.sizes(variant, variants.RESNETS)
    act = PLAIN[activation]
    blocks = _plain_blocks(v["depth"], width, stochdepth_rate, "res_block")
    inner = [{**s, "blocks": len(blocks)} for s in blocks]

    def run(net, x):
        x = conv2d(net, f"{name}/~/initial_conv", x, int(16 * width), 7, 2, bias=False)
        x = act(x + net.param(f"{name}/bias1", (), ZEROS))
        head = {"features": lambda y: y, "drop_rate": drop_rate, "classes": num_classes, "init": ZEROS,
                "shift": lambda pool: pool + net.param(f"{name}/bias2", (), ZEROS)}
        return body(net, max_pool(x, 3, 2), name, inner, _fixup_block, act, head)

    return Model(name, blocks, drop_rate, run, _plain_flops(blocks, width, num_classes))
