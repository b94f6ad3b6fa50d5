"""Makes golden data in the format of parity/golden from DeepMind's own code: cases of sizes and settings of your choice.

    python -m venv .venv && .venv/bin/pip install jax dm-haiku dm-tree dill optax safetensors
    .venv/bin/python parity/generate.py --reference deepmind-research --out /tmp/goldens --seed 1
    node dist/cli/main.js parity --goldens /tmp/goldens

--reference is a checkout of google-deepmind/deepmind-research (its nfnets/ is imported, nothing of it is copied here).
Sizes and settings are drawn from --seed. The committed goldens were not made by this script.
"""
import argparse
import json
import math
import os
import random
import sys

import numpy as np
from safetensors.numpy import save_file

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--reference", required=True)
args.add_argument("--out", required=True)
args.add_argument("--seed", type=int, default=0)
args.add_argument("--only", nargs="*", default=[], help="categories (default: all)")
args = args.parse_args()
sys.path.insert(0, args.reference)

import haiku as hk  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from nfnets import base, nf_regnet, nf_resnet, nfnet, optim, utils  # noqa: E402

jax.config.update("jax_default_matmul_precision", "highest")
rng = random.Random(args.seed)
tag = f"s{args.seed}"
cases = []


# ---- the fill rule (parity/golden/README.md) ----
def bits(name, n):
  h = 0x811C9DC5
  for byte in name.encode():
    h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
  x = (h + np.arange(n, dtype=np.uint64) * 0x9E3779B9) & 0xFFFFFFFF
  for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
    x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & 0xFFFFFFFF
  return x ^ (x >> np.uint64(16))


def fill(name, shape, mean=0.0, std=1.0):
  u = (bits(name, math.prod(shape)).astype(np.float64) + 0.5) / 2**32
  return (((2 * u - 1) * math.sqrt(3)) * std + mean).astype(np.float32).reshape(shape)


def fill_int(name, shape, k):
  u = (bits(name, math.prod(shape)).astype(np.float64) + 0.5) / 2**32
  return np.floor(u * k).astype(np.int32).reshape(shape)


def kind(name, shape):
  last = name.split("/")[-1]
  if last == "w":
    return 0.0, 1 / math.sqrt(math.prod(shape[:-1]))
  if last in ("gain", "scale"):
    return 1.0, 0.1
  return (0.5 if last == "skip_gain" else 0.0), 0.1


# ---- one case ----
def number(x):
  return x if math.isfinite(x) else "nan" if math.isnan(x) else "inf" if x > 0 else "-inf"


def norms(a):
  a = np.asarray(a, np.float64).ravel()
  return {"l2": number(float(np.sqrt(np.sum(a * a)))), "sum": number(float(np.sum(a)))}


def both(run, values):
  """`run(values)` in f32 and, with the same values cast up, in f64."""
  f32 = jax.tree.map(np.asarray, jax.jit(run)(values))
  with jax.enable_x64(True):
    wide = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in values.items()}
    f64 = jax.tree.map(np.asarray, jax.jit(run)(wide))
  return f32, f64


def add(case, category, reference, config, inputs, run, **more):
  """`inputs`: name -> (shape, rule); `run(values)` -> name -> array. Runs in both precisions and stores all."""
  case = f"{case}-{tag}"
  listed, values, stored = {}, {}, {}
  for name, (shape, rule) in inputs.items():
    shape = list(shape)
    full = f"{case}/{name.removeprefix('p/')}"
    if isinstance(rule, np.ndarray):
      listed[name] = {"shape": shape, "stored": True}
      values[name] = stored[f"in/{name}"] = rule
    elif isinstance(rule, int):
      listed[name] = {"shape": shape, "fillInt": {"name": full, "k": rule}}
      values[name] = fill_int(full, shape, rule)
    else:
      mean, std = rule
      listed[name] = {"shape": shape, "fill": {"name": full, "mean": mean, "std": std}}
      values[name] = fill(full, shape, mean, std)
  f32, f64 = both(run, values)
  outputs = {}
  for name, a in f32.items():
    b = np.asarray(f64[name], np.float64)
    entry = {"shape": list(a.shape), "stored": "full", "f32": norms(a), "f64": norms(b)}
    keep = slice(None)
    if a.size > 4096:
      entry.update(stored="strided", k=11)
      keep = slice(None, None, 11)
    with np.errstate(all="ignore"):
      rel = np.linalg.norm((a - b).ravel()) / np.linalg.norm(b.ravel()) if np.any(b) else 0.0
    entry["f32_rel_l2"] = number(float(rel))
    outputs[name] = entry
    for precision, array in (("f32", a.astype(np.float32)), ("f64", b)):
      flat = np.atleast_1d(array).ravel()[keep]
      stored[f"{precision}/{name}"] = np.ascontiguousarray(flat if a.size > 4096 else np.atleast_1d(array))
  save_file(stored, os.path.join(args.out, f"{case}.safetensors"))
  cases.append({"id": case, "category": category, "what": "", "reference": reference, "config": config,
                "file": f"{case}.safetensors", "inputs": listed, "outputs": outputs, **more})


def layer(case, category, reference, config, x_shape, build, x_std=1.0, **more):
  """A Haiku layer `build()(x)` -> value or (value, extra outputs): value, extras and all gradients."""
  net = hk.without_apply_rng(hk.transform(lambda x: build(x)))
  shapes = jax.eval_shape(net.init, jax.random.PRNGKey(0), jnp.zeros(x_shape))
  flat = {f"{m}/{n}": v.shape for m, p in shapes.items() for n, v in p.items()}
  out = jax.eval_shape(net.apply, shapes, jnp.zeros(x_shape))
  first = out[0] if isinstance(out, tuple) else out
  inputs = {"x": (x_shape, (0.0, x_std))}
  inputs |= {f"p/{name}": (shape, kind(name, shape)) for name, shape in flat.items()}
  inputs["ct"] = (first.shape, (0.0, 1.0))

  def run(values):
    def value(x, params):
      tree = {}
      for name, v in params.items():
        module, leaf = name.rsplit("/", 1)
        tree.setdefault(module, {})[leaf] = v
      y = net.apply(tree, x)
      return y if isinstance(y, tuple) else (y, {})
    params = {k[2:]: v for k, v in values.items() if k.startswith("p/")}
    y, pull, extra = jax.vjp(value, values["x"], params, has_aux=True)
    dx, dp = pull(values["ct"].astype(y.dtype))
    return {"y": y, **extra, "d/x": dx, **{f"d/p/{k}": v for k, v in dp.items()}}

  add(case, category, reference, config, inputs, run, **more)


# ---- the categories ----
def activations():
  for name in base.nonlinearities:
    row = name in ("glu", "log_softmax")
    x = np.concatenate([fill(f"{tag}/{name}/{std}", (80,), 0.0, std) for std in (0.1, 1.0, 5.0, 40.0)])
    x = x.reshape(-1, 8) if row else x
    act = base.nonlinearities[name]

    def run(values, act=act, row=row):
      y, pull = jax.vjp(act, values["x"])
      ct = values["ct"].astype(y.dtype) if row else jnp.ones_like(y)
      return {"y": y, "dx": pull(ct)[0]}
    inputs = {"x": (x.shape, x)}
    if row:
      inputs["ct"] = (jax.eval_shape(act, x).shape, (0.0, 1.0))
    add(f"act-{name}", "activations", "base.py:nonlinearities", {"activation": name}, inputs, run)


def wsconv(count):
  for i in range(count):
    groups = rng.choice([1, 1, 2, 3, 5])
    config = dict(kernel=rng.choice([1, 2, 3, 4, 5]), stride=rng.choice([1, 2, 3]), groups=groups,
                  in_ch=groups * rng.randint(1, 7), out_ch=groups * rng.randint(1, 9), h=rng.randint(6, 14),
                  w=rng.randint(6, 14), padding=rng.choice(["SAME", "VALID"]), rate=1, batch=rng.randint(1, 4))
    if config["stride"] == 1 and config["kernel"] < 4:
      config["rate"] = rng.choice([1, 2])

    def build(x, c=config):
      conv = base.WSConv2D(c["out_ch"], c["kernel"], stride=c["stride"], rate=c["rate"], padding=c["padding"],
                           feature_group_count=c["groups"], name="conv")
      return conv(x)
    shape = (config["batch"], config["h"], config["w"], config["in_ch"])
    layer(f"ws-{i}", "wsconv", "base.py:WSConv2D.__call__", config, shape, build)


def modules():
  for i in range(4):
    c = dict(in_ch=rng.randint(1, 40), out_ch=rng.randint(1, 40), se_ratio=rng.choice([0.25, 0.5, None]), hidden_ch=6)
    layer(f"se-{i}", "modules", "base.py:SqueezeExcite", c, (3, rng.randint(1, 9), rng.randint(1, 9), c["in_ch"]),
          lambda x, c=c: base.SqueezeExcite(**c)(x), 1.5)
    shape = (rng.randint(1, 3), rng.randint(1, 12), rng.randint(1, 12), rng.randint(1, 9))
    for name, pool, part in (("avgpool", hk.avg_pool, "nfnet.py:NFBlock.__call__ (hk.avg_pool)"),
                             ("maxpool", hk.max_pool, "nf_resnet.py:NF_ResNet.__call__ (hk.max_pool)")):
      window, stride = rng.choice([2, 3]), rng.choice([1, 2, 3])
      config = {"window": window, "stride": stride, "padding": "SAME"}
      layer(f"{name}-{i}", "modules", part, config, shape, lambda x, p=pool, w=window, s=stride: p(
          x, window_shape=(1, w, w, 1), strides=(1, s, s, 1), padding="SAME"))
    n, k = rng.randint(1, 90), rng.randint(1, 90)
    layer(f"linear-{i}", "modules", "nfnet.py:NFNet (hk.Linear)", {}, (rng.randint(1, 9), n),
          lambda x, k=k: hk.Linear(k, name="linear")(x))


def blocks():
  names = [n for n in base.nonlinearities if n != "glu"]
  for i, act in enumerate(names):
    shape = (rng.randint(1, 3), rng.randint(1, 9), rng.randint(1, 9))
    common = dict(in_ch=4 * rng.randint(2, 5), out_ch=4 * rng.randint(2, 6), stride=rng.choice([1, 2]),
                  beta=round(rng.uniform(0.5, 1), 3), alpha=round(rng.uniform(0.1, 1), 3))
    own = dict(expansion=rng.choice([0.5, 1.0, 1.5]), se_ratio=rng.choice([0.25, 0.5]), group_size=rng.choice([2, 3, 4]))
    kinds = [
        ("nfblock", nfnet.NFBlock, "nfnet.py:NFBlock.__call__",
         {**own, "kernel_shape": rng.choice([1, 3, 5]), "big_width": rng.random() < 0.5, "use_two_convs": rng.random() < 0.5}),
        ("regnet", nf_regnet.NFBlock, "nf_regnet.py:NFBlock.__call__", {**own, "kernel_size": rng.choice([3, 5])}),
        ("nfres", nf_resnet.NFResBlock, "nf_resnet.py:NFResBlock.__call__",
         {"bottleneck_ratio": rng.choice([0.25, 0.5]), "use_se": rng.random() < 0.5, "se_ratio": 0.5}),
    ]
    for name, block, reference, extra in kinds:
      settings = {**common, **extra}

      def build(x, block=block, settings=settings, act=act):
        y, var = block(**settings, activation=base.nonlinearities[act], name="block")(x, is_training=False)
        return y, {"res_avg_var": var}
      n, h, w = shape
      layer(f"{name}-{i}-{act}", "nfblock", reference, {**settings, "h": h, "w": w, "batch": n, "activation": act},
            (n, h, w, settings["in_ch"]), build)


def variant():
  width = [8 * rng.randint(1, 4) for _ in range(4)]
  return dict(width=width, depth=[rng.randint(1, 2) for _ in range(4)], expansion=[rng.choice([0.5, 1.0])] * 4,
              group_width=[rng.choice([2, 4])] * 4, big_width=[rng.random() < 0.7] * 4, train_imsize=32,
              test_imsize=32, RA_level="405", drop_rate=0.0)


def nfnets(count):
  for i in range(count):
    v = variant()
    nfnet.NFNet.variant_dict = {**nfnet.NFNet.variant_dict, "Tiny": v}
    act = rng.choice(["gelu", "silu", "relu", "celu", "tanh", "leaky_relu", "softplus"])
    h, w, n = rng.randint(24, 48), rng.randint(24, 48), rng.randint(1, 3)
    kwargs = dict(width=rng.choice([1.0, 1.5]), se_ratio=rng.choice([0.25, 0.5]), alpha=0.3, activation=act,
                  stochdepth_rate=0.0, final_conv_mult=rng.choice([1, 2]), use_two_convs=rng.random() < 0.5)
    classes = rng.randint(2, 20)
    net = hk.without_apply_rng(hk.transform(
        lambda x, train, kw=kwargs, c=classes: nfnet.NFNet(num_classes=c, variant="Tiny", **kw)(
            x, is_training=train, return_metrics=not train), ))
    case = f"nfnet-{i}-{act}"
    shapes = jax.eval_shape(lambda key, x: net.init(key, x, True), jax.random.PRNGKey(0), jnp.zeros((n, h, w, 3)))
    flat = {f"{m}/{p}": s.shape for m, ps in shapes.items() for p, s in ps.items()}
    params = {f"p/{name}": (shape, kind(name, shape)) for name, shape in flat.items()}

    def unflatten(values):
      tree = {}
      for name, value in values.items():
        module, leaf = name.rsplit("/", 1)
        tree.setdefault(module, {})[leaf] = value
      return tree

    def train(values, net=net, c=classes, unflatten=unflatten):
      def loss(params, x):
        out = net.apply(unflatten(params), x, True)
        y = 0.9 * jax.nn.one_hot(values["labels"], c, dtype=x.dtype) + 0.1 / c
        return utils.softmax_cross_entropy(out["logits"], y, "mean"), out["logits"]
      p = {k[2:]: v for k, v in values.items() if k.startswith("p/")}
      (value, logits), (dp, dx) = jax.value_and_grad(loss, (0, 1), has_aux=True)(p, values["x"])
      return {"loss": value, "logits": logits, "d/x": dx, **{f"d/p/{k}": v for k, v in dp.items()}}

    def evaluate(values, net=net, unflatten=unflatten):
      return net.apply(unflatten({k[2:]: v for k, v in values.items() if k.startswith("p/")}), values["x"], False)
    config = dict(variant=v, num_classes=classes, batch=n, imsize=[h, w], label_smoothing=0.1, **kwargs)
    x = {"x": ((n, h, w, 3), (0.0, 1.0))}
    add(case, "nfnet", "nfnet.py:NFNet.__call__", config, {**x, "labels": ((n,), classes), **params}, train)
    config = {k: c for k, c in config.items() if k != "label_smoothing"}
    add(f"{case}-eval", "nfnet", "nfnet.py:NFNet.__call__", config, {**x, **params}, evaluate)


def optimizers(count):
  shapes = {"conv/w": (3, 3, 4, 6), "conv/gain": (6,), "conv/bias": (6,), "lin/w": (9, 4), "lin/b": (4,),
            "cube/w": (2, 3, 4), "unit/w": (1, 1, 1, 7), "block/skip_gain": ()}
  problem = f"problem-{tag}"
  tensors = {f"p/{k}": fill(f"{problem}/p/{k}", s, 0.1, 0.5) for k, s in shapes.items()}
  for t in range(4):
    tensors |= {f"g{t}/{k}": fill(f"{problem}/g{t}/{k}", s, 0.0, 0.1) for k, s in shapes.items()}
  save_file({f"in/{k}": np.atleast_1d(v) for k, v in tensors.items()}, os.path.join(args.out, f"{problem}.safetensors"))
  cases.append({"id": problem, "category": "optim", "what": "", "reference": "none", "config": {"shapes": shapes},
                "file": f"{problem}.safetensors", "outputs": {},
                "inputs": {k: {"shape": list(v.shape), "stored": True} for k, v in tensors.items()}})
  for i in range(count):
    agc = i % 2 == 1
    kwargs = dict(lr=rng.choice([0.01, 0.3]), momentum=rng.choice([None, 0.5, 0.9]), nesterov=rng.choice([None, True, False]),
                  weight_decay=rng.choice([None, 1e-4, 0.1]), dampening=rng.choice([0, 0.1]))
    if agc:
      kwargs |= dict(clipping=rng.choice([None, 0.01, 0.1]), eps=rng.choice([1e-3, 0.1]))
    opt_class = optim.SGD_AGC if agc else optim.SGD

    def run(_, kwargs=kwargs, opt_class=opt_class):
      dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
      tree = lambda prefix: {k: jnp.asarray(tensors[f"{prefix}/{k}"], dtype) for k in shapes}
      params = tree("p")
      opt = opt_class(params, **kwargs)
      states, out = opt.states(), {}
      for t in range(4):
        params, states = opt.step(params, tree(f"g{t}"), states, itr=t)
        out |= {f"p{t}/{k}": v for k, v in params.items()}
        out |= {f"momentum{t}/{k}": s["momentum"] for k, s in states.items() if "momentum" in s}
      return out
    config = {**kwargs, "optimizer": opt_class.__name__, "inputs_of": problem, "itr0": 0}
    add(f"opt-{i}", "optim", f"optim.py:{opt_class.__name__}", config, {}, run)


os.makedirs(args.out, exist_ok=True)
categories = {"activations": activations, "wsconv": lambda: wsconv(12), "modules": modules, "nfblock": blocks,
              "nfnet": lambda: nfnets(3), "optim": lambda: optimizers(6)}
for category, make in categories.items():
  if args.only and category not in args.only:
    continue
  make()
  with open(os.path.join(args.out, "manifest.json"), "w", encoding="utf-8") as out:
    json.dump({"meta": {"set": tag, "jax": jax.__version__}, "cases": cases}, out)
print(f"{len(cases)} cases in {args.out}")
