"""The Normalizer-Free networks: NFNet, NF-RegNet, NF-ResNet, their blocks and FLOP counts."""
import math
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp

from . import variants
from .layers import (
    ZEROS, Init, Net, avg_pool, dropout, linear, max_pool, pair, residual_variance, signal_metrics,
    squeeze_excite, stoch_depth, ws_conv2d)
from .layers import activation as scaled


class Model(NamedTuple):
    """A network.

    run: (net, x) -> (values before and after each block, residual variances, pool, logits), see `apply`.
    flops: (h, w) -> multiplications of each part.
    """

    name: str
    blocks: list
    drop_rate: float
    run: Callable
    flops: Callable

    def created(self, train=True, size=64):
        """Parameters in Haiku's order (of their modules' first ones), and the shapes of running statistics."""
        net = Net(train=train)
        jax.eval_shape(lambda x: self.run(net, x)["logits"], jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))
        modules = {}
        for path in net.created:
            modules.setdefault(path.rsplit("/", 1)[0], []).append(path)
        in_order = [path for paths in modules.values() for path in paths]
        return {path: net.created[path] for path in in_order}, net.created_state

    def apply(self, params, x, train=False, key=None, state=None, metrics=False):
        """Logits, pool and (with `metrics`) signal metrics of each block; and the next running statistics."""
        net = Net(params, train=train, key=key, state=state)
        out = self.run(net, x)
        outputs = {"pool": out["pool"], "logits": out["logits"]}
        if metrics:
            for i, signal in enumerate(out["signals"]):
                outputs.update(signal_metrics(signal, i))
            outputs.update({f"res_avg_var_{i}": v for i, v in enumerate(out["variances"])})
        return outputs, {**net.state, **net.next_state}


def conv_flops(in_ch, out_ch, kernel, h, w, stride=1, groups=1):
    return out_ch * (h * w) / math.prod(pair(stride)) * (in_ch / groups * math.prod(pair(kernel)))


def body(net, x, name, blocks, block, act, head):
    """Blocks, then `head` (to features), mean pool, dropout and the classifier `fc`, as every network has them."""
    signals, variances = [x], []
    for settings in blocks:
        x, variance = block(net, f"{name}/~/{settings['name']}", x, settings, act)
        signals.append(x)
        variances.append(variance)
    pool = jnp.mean(head["features"](x), (1, 2))
    kept = dropout(net, pool, head["drop_rate"])
    logits = linear(net, f"{name}/~/linear", head.get("shift", lambda v: v)(kept), head["classes"], head["init"])
    return {"signals": signals, "variances": variances, "pool": pool, "logits": logits}


def drop_branch(net, x, rate):
    return stoch_depth(net, x, rate) if 0 < rate < 1 else x


# ---- blocks: (net, Haiku path, x, settings, activation) -> (y, variance of the residual branch) ----
def _shortcut(net, path, x, out, s):
    """A 1x1 convolution after a 2x2 average pool where strided; nothing where shapes stay."""
    if not s["use_projection"]:
        return x
    if s["stride"] > 1:
        out = avg_pool(out, 2, 2)
    return ws_conv2d(net, f"{path}/~/conv_shortcut", out, s["out_ch"], 1)


def join_branch(net, path, out, shortcut, s):
    variance = residual_variance(out)
    out = drop_branch(net, out, s["stochdepth_rate"])
    out = out * net.param(f"{path}/skip_gain", (), ZEROS)
    return out * s["alpha"] + shortcut, variance


def nf_block(net, path, x, s, act):
    out = act(x) * s["beta"]
    shortcut = _shortcut(net, path, x, out, s)
    grouped = dict(kernel=s["kernel"], groups=s["groups"])
    out = ws_conv2d(net, f"{path}/~/conv0", out, s["width"], 1)
    out = ws_conv2d(net, f"{path}/~/conv1", act(out), s["width"], stride=s["stride"], **grouped)
    if s["use_two_convs"]:
        out = ws_conv2d(net, f"{path}/~/conv1b", act(out), s["width"], **grouped)
    out = ws_conv2d(net, f"{path}/~/conv2", act(out), s["out_ch"], 1)
    out = squeeze_excite(net, f"{path}/~/squeeze_excite", out, s["out_ch"], s["se_hidden"]) * 2 * out
    return join_branch(net, path, out, shortcut, s)


def nf_regnet_block(net, path, x, s, act):
    out = act(x) * s["beta"]
    shortcut = _shortcut(net, path, x, out, s)
    out = ws_conv2d(net, f"{path}/~/conv0", out, s["width"], 1)
    out = ws_conv2d(net, f"{path}/~/conv1", act(out), s["width"], s["kernel"], s["stride"], groups=s["groups"])
    out = 2 * squeeze_excite(net, f"{path}/~/squeeze_excite", out, s["width"], s["se_hidden"]) * out
    out = ws_conv2d(net, f"{path}/~/conv2", act(out), s["out_ch"], 1)
    return join_branch(net, path, out, shortcut, s)


def nf_res_block(net, path, x, s, act):
    out = act(x) * s["beta"]
    shortcut = x
    if s["use_projection"]:
        shortcut = ws_conv2d(net, f"{path}/~/conv_shortcut", out, s["out_ch"], 1, s["stride"])
    out = ws_conv2d(net, f"{path}/~/conv0", out, s["width"], 1)
    out = ws_conv2d(net, f"{path}/~/conv1", act(out), s["width"], s["kernel"], s["stride"])
    out = ws_conv2d(net, f"{path}/~/conv2", act(out), s["out_ch"], 1)
    if s["use_se"]:
        out = 2 * squeeze_excite(net, f"{path}/~/squeeze_excite", out, s["out_ch"], s["se_hidden"]) * out
    return join_branch(net, path, out, shortcut, s)


def _block_flops(s, h, w, se=0):
    """FLOPs of a block on an h x w input, and the size of its output."""
    groups = s.get("groups", 1)
    total = conv_flops(s["in_ch"], s["width"], 1, h, w)
    total += conv_flops(s["width"], s["width"], s["kernel"], h, w, s["stride"], groups)
    h, w = h / s["stride"], w / s["stride"]
    if s.get("use_two_convs"):
        total += conv_flops(s["width"], s["width"], s["kernel"], h, w, 1, groups)
    if s["use_projection"]:
        total += conv_flops(s["in_ch"], s["out_ch"], 1, h, w, s.get("shortcut_stride", 1))
    return total + conv_flops(s["width"], s["out_ch"], 1, h, w) + se, h, w


def blocks_flops(blocks, h, w, se=lambda s: 0):
    """FLOPs of each block, and the size after the last."""
    parts = []
    for s in blocks:
        total, h, w = _block_flops(s, h, w, se(s))
        parts.append(total)
    return parts, h, w


# ---- networks ----
def nfnet(num_classes, variant="F0", width=1.0, se_ratio=0.5, alpha=0.2, stochdepth_rate=0.1, drop_rate=None,
          activation="gelu", final_conv_mult=2, final_conv_ch=None, use_two_convs=True, name="NFNet"):
    """nfnet.py: NFNet."""
    v = variants.sizes(variant, variants.NFNETS)
    act = scaled(activation)
    drop_rate = v["drop_rate"] if drop_rate is None else drop_rate
    stem = [(16, 2), (32, 1), (64, 1), (v["width"][0] // 2, 2)]
    per_stage = zip(v["width"], v.get("expansion", [0.5] * 4), v.get("group_width", [128] * 4),
                    v.get("big_width", [True] * 4), (1, 2, 2, 2))
    per_stage = list(per_stage)
    blocks, ch, total = [], stem[-1][0], sum(v["depth"])
    for i, (stage, place, beta) in enumerate(variants.betas(v["depth"], alpha)):
        out, expansion, group_size, big_width, stride = per_stage[stage]
        out_ch = int(out * width)
        settings = variants.nf_block(
            ch, out_ch, expansion, se_ratio, 3, group_size, stride if place == 0 else 1, beta, alpha,
            big_width, use_two_convs, stochdepth_rate * i / total)
        blocks.append({"index": i, "name": variants.numbered("nf_block", i), **settings})
        ch = out_ch
    final_ch = final_conv_ch if final_conv_mult is None else int(final_conv_mult * ch)

    def run(net, x):
        for i, (out_ch, stride) in enumerate(stem):
            x = ws_conv2d(net, f"{name}/~/stem_conv{i}", x if i == 0 else act(x), out_ch, 3, stride)
        head = {"features": lambda y: act(ws_conv2d(net, f"{name}/~/final_conv", y, final_ch, 1)),
                "drop_rate": drop_rate, "classes": num_classes, "init": Init("normal", 0.01)}
        return body(net, x, name, blocks, nf_block, act, head)

    def flops(h, w):
        parts, in_ch = [], 3
        for out_ch, stride in stem:
            parts.append(conv_flops(in_ch, out_ch, 3, h, w, stride))
            in_ch, h, w = out_ch, h / stride, w / stride
        inner, h, w = blocks_flops(blocks, h, w, lambda s: 2 * s["se_hidden"] * s["out_ch"])
        return [*parts, *inner, conv_flops(ch, final_ch, 1, h, w), final_ch * num_classes]

    return Model(name, blocks, drop_rate, run, flops)


def nf_regnet(num_classes, variant="B0", width=0.75, expansion=2.25, group_size=8, se_ratio=0.5, alpha=0.2,
              stochdepth_rate=0.1, drop_rate=None, activation="silu", name="NF_RegNet"):
    """nf_regnet.py: NF_RegNet."""
    v = variants.sizes(variant, variants.NF_REGNETS)
    act = scaled("silu" if activation == "swish" else activation)
    drop_rate = v["drop_rate"] if drop_rate is None else drop_rate
    stem_ch = ch = int(v["width"][0] * width)
    blocks, total = [], sum(v["depth"])
    for i, (stage, place, beta) in enumerate(variants.betas(v["depth"], alpha)):
        out_ch = int(v["width"][stage] * width)
        settings = variants.nf_regnet_block(
            ch, out_ch, 1 if i == 0 else expansion, se_ratio, 3, group_size, 2 if place == 0 else 1, beta,
            alpha, stochdepth_rate * i / total)
        blocks.append({"index": i, "name": variants.numbered("nf_block", i), **settings})
        ch = out_ch
    final_ch = 1280 * ch // 440

    def run(net, x):
        x = ws_conv2d(net, f"{name}/~/initial_conv", x, stem_ch, 3, 2)
        head = {"features": lambda y: act(ws_conv2d(net, f"{name}/~/final_conv", y, final_ch, 1)),
                "drop_rate": drop_rate, "classes": num_classes, "init": ZEROS}
        return body(net, x, name, blocks, nf_regnet_block, act, head)

    def flops(h, w):
        first = conv_flops(3, stem_ch, 3, h, w, 2)
        inner, h, w = blocks_flops(blocks, h / 2, w / 2, lambda s: 2 * s["se_hidden"] * s["width"])
        return [first, *inner, conv_flops(ch, final_ch, 1, h, w), final_ch * num_classes]

    return Model(name, blocks, drop_rate, run, flops)


def nf_resnet(num_classes, variant="ResNet50", width=4, alpha=0.2, stochdepth_rate=0.1, drop_rate=0.0,
              activation="relu", use_se=False, se_ratio=0.25, name="NF_ResNet"):
    """nf_resnet.py: NF_ResNet."""
    v = variants.sizes(variant, variants.RESNETS)
    act = scaled(activation)
    stem_ch = ch = int(16 * width)
    blocks, total = [], sum(v["depth"])
    for i, (stage, place, beta) in enumerate(variants.betas(v["depth"], alpha)):
        out_ch = 64 * 2**stage * width
        stride = 2 if stage > 0 and place == 0 else 1
        settings = variants.nf_res_block(ch, out_ch, 0.25, 3, stride, beta, alpha, use_se, se_ratio,
                                         stochdepth_rate * i / total)
        blocks.append({"index": i, "name": variants.numbered("nf_res_block", i), **settings})
        ch = out_ch

    def run(net, x):
        x = max_pool(ws_conv2d(net, f"{name}/~/initial_conv", x, stem_ch, 7, 2), 3, 2)
        head = {"features": act, "drop_rate": drop_rate, "classes": num_classes, "init": Init("normal", 0.01)}
        return body(net, x, name, blocks, nf_res_block, act, head)

    def flops(h, w):
        if not use_se:
            raise AttributeError("'NFResBlock' object has no attribute 'se'")  # as the reference's count does
        first = conv_flops(3, stem_ch, 7, h, w, 2)
        counted = [{**s, "shortcut_stride": s["stride"]} for s in blocks]
        inner, _, _ = blocks_flops(counted, h / 2, w / 2, lambda s: s["se_hidden"] * (s["width"] + s["out_ch"]))
        return [first, *inner, ch * num_classes]

    return Model(name, blocks, drop_rate, run, flops)

