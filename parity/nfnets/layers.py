"""Layers of NFNets and of the networks that the papers compare them with, in plain JAX.

A layer is a function of a `Net` (one pass through a model: its parameters, random keys and running statistics), the
layer's Haiku name and its input. A pass without parameters records what the model would create. Nothing here is fast
or general: it is the mathematics, written down a second time.
"""
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Init(NamedTuple):
    """How a new parameter is drawn: `normal` and `truncated` take a key and multiply by `scale`."""

    kind: str
    scale: float

    def draw(self, key, shape):
        """Initial values in f32, as Haiku draws them."""
        if self.kind == "constant":
            return jnp.full(shape, self.scale, jnp.float32)
        scale = jnp.float32(self.scale)
        if self.kind == "normal":
            return scale * jax.random.normal(key, shape, jnp.float32)
        return scale * jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32)


ZEROS, ONES = Init("constant", 0.0), Init("constant", 1.0)


class Created(NamedTuple):
    """A parameter that a model asked for: `key` is its number in Haiku's sequence of keys, None if it draws none."""

    shape: tuple
    init: Init
    key: int | None


def haiku_keys(key, n):
    """The first `n` keys of `hk.next_rng_key`: each splits the running key and takes the second half."""
    keys = []
    for _ in range(n):
        key, sub = jax.random.split(key)
        keys.append(sub)
    return keys


class Net:
    """One pass through a model.

    params: values by Haiku name, or None to record in `created` what is asked for.
    key: for stochastic depth and dropout; state: running statistics by name, whose successors end in `next_state`.
    """

    def __init__(self, params=None, *, train=False, key=None, state=None):
        self.params, self.train, self.state = params, train, state or {}
        self.created, self.created_state, self.next_state = {}, {}, {}
        self.keys_drawn, self._key = 0, key

    def param(self, name, shape, init):
        if self.params is not None:
            return self.params[name]
        draws = init.kind != "constant"
        self.created[name] = Created(tuple(shape), init, self.keys_drawn if draws else None)
        self.keys_drawn += draws
        return jnp.zeros(shape, jnp.float32)

    def next_key(self):
        self.keys_drawn += 1
        if self.params is None:
            return jax.random.PRNGKey(0)
        self._key, sub = jax.random.split(self._key)
        return sub


# ---- activations: the gain of each makes the variance of its output 1 for a normal input ----
def swish(x):
    return jax.nn.silu(x)


ACTIVATIONS = {
    "identity": (lambda x: x, 1),
    "celu": (jax.nn.celu, 1.270926833152771),
    "elu": (jax.nn.elu, 1.2716004848480225),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=True), 1.7015043497085571),
    "glu": (jax.nn.glu, 1.8484294414520264),
    "leaky_relu": (jax.nn.leaky_relu, 1.70590341091156),
    "log_sigmoid": (jax.nn.log_sigmoid, 1.9193484783172607),
    "log_softmax": (jax.nn.log_softmax, 1.0002083778381348),
    "relu": (jax.nn.relu, 1.7139588594436646),
    "relu6": (jax.nn.relu6, 1.7131484746932983),
    "selu": (jax.nn.selu, 1.0008515119552612),
    "sigmoid": (jax.nn.sigmoid, 4.803835391998291),
    "silu": (jax.nn.silu, 1.7881293296813965),
    "soft_sign": (jax.nn.soft_sign, 2.338853120803833),
    "softplus": (jax.nn.softplus, 1.9203323125839233),
    "tanh": (jnp.tanh, 1.5939117670059204),
}
# The networks with BatchNorm, SkipInit and Fixup use plain ones.
PLAIN = {"relu": jax.nn.relu, "swish": swish, "silu": swish, "identity": lambda x: x}


def activation(name):
    """The scaled activation of that name."""
    function, gain = ACTIVATIONS[name]
    return function if name == "identity" else lambda x: function(x) * gain


# ---- layers with parameters ----
def pair(size):
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)


def _convolve(x, w, stride, padding, rate, groups):
    return lax.conv_general_dilated(
        x, w, pair(stride), padding, rhs_dilation=pair(rate), feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"))


def standardize(w, gain, eps=1e-4):
    """Scaled weight standardization over all axes but the last: mean 0, variance gain^2 / fan_in."""
    mean = jnp.mean(w, (0, 1, 2), keepdims=True)
    var = jnp.var(w, (0, 1, 2), keepdims=True)
    fan_in = math.prod(w.shape[:-1])
    scale = lax.rsqrt(jnp.maximum(var * fan_in, eps)) * gain
    return w * scale - mean * scale


def ws_conv2d(net, name, x, out_ch, kernel, stride=1, padding="SAME", rate=1, groups=1, eps=1e-4):
    """A convolution with a standardized weight, a gain and a bias."""
    shape = (*pair(kernel), x.shape[-1] // groups, out_ch)
    w = net.param(f"{name}/w", shape, Init("normal", math.sqrt(1 / math.prod(shape[:-1]))))
    gain = net.param(f"{name}/gain", (out_ch,), ONES)
    bias = net.param(f"{name}/bias", (out_ch,), ZEROS)
    return _convolve(x, standardize(w, gain, eps), stride, padding, rate, groups) + bias


def conv2d(net, name, x, out_ch, kernel, stride=1, bias=True, init=None):
    """`hk.Conv2D`, padding SAME."""
    shape = (*pair(kernel), x.shape[-1], out_ch)
    init = init or Init("truncated", 1 / math.sqrt(math.prod(shape[:-1])))
    y = _convolve(x, net.param(f"{name}/w", shape, init), stride, "SAME", 1, 1)
    return y + net.param(f"{name}/b", (out_ch,), ZEROS) if bias else y


def linear(net, name, x, out, init=None):
    """`hk.Linear`."""
    init = init or Init("truncated", 1 / math.sqrt(x.shape[-1]))
    w = net.param(f"{name}/w", (x.shape[-1], out), init)
    return x @ w + net.param(f"{name}/b", (out,), ZEROS)


def hidden_channels(in_ch, se_ratio, hidden_ch=None):
    """The width inside squeeze-and-excite."""
    return hidden_ch if se_ratio is None else max(1, int(in_ch * se_ratio))


def squeeze_excite(net, name, x, out_ch, hidden):
    """A gate [n, 1, 1, out_ch] in (0, 1) from the mean over height and width. Its relu is plain."""
    h = jax.nn.relu(linear(net, f"{name}/~/linear", jnp.mean(x, (1, 2)), hidden))
    return jax.nn.sigmoid(linear(net, f"{name}/~/linear_1", h, out_ch))[:, None, None]


def batch_norm(net, name, x, decay_rate, eps=1e-5, create_scale=True, create_offset=True,
               test_local_stats=False):
    """`hk.BatchNorm` over all axes but the last. In training it also moves the running statistics."""
    if net.train or test_local_stats:
        mean = jnp.mean(x, (0, 1, 2), keepdims=True)
        var = jnp.mean(jnp.square(x), (0, 1, 2), keepdims=True) - jnp.square(mean)
    else:
        mean = _statistic(net, f"{name}/~/mean_ema", "average", x.shape[-1])
        var = _statistic(net, f"{name}/~/var_ema", "average", x.shape[-1])
    if net.train:
        _move(net, f"{name}/~/mean_ema", mean, decay_rate)
        _move(net, f"{name}/~/var_ema", var, decay_rate)
    shape = (1, 1, 1, x.shape[-1])
    inv = lax.rsqrt(var + eps)
    if create_scale:
        inv = net.param(f"{name}/scale", shape, ONES) * inv
    y = (x - mean) * inv
    return y + net.param(f"{name}/offset", shape, ZEROS) if create_offset else y


def _statistic(net, name, part, channels):
    if net.params is None:
        shape = () if part == "counter" else (1, 1, 1, channels)
        net.created_state[f"{name}/{part}"] = shape
        return jnp.zeros(shape, jnp.int32 if part == "counter" else jnp.float32)
    return net.state[f"{name}/{part}"]


def _move(net, name, value, decay):
    """`hk.ExponentialMovingAverage` with Adam's correction for the zeros that it starts from."""
    counter = _statistic(net, name, "counter", value.shape[-1]) + 1
    hidden = _statistic(net, name, "hidden", value.shape[-1])
    _statistic(net, name, "average", value.shape[-1])
    decay = jnp.asarray(decay, value.dtype)
    hidden = hidden * decay + value * (1 - decay)
    net.next_state[f"{name}/counter"] = counter
    net.next_state[f"{name}/hidden"] = hidden
    net.next_state[f"{name}/average"] = hidden / (1 - jnp.power(decay, counter))


# ---- layers without parameters ----
def stoch_depth(net, x, rate, scale_by_keep=False):
    """Drops whole samples in training. Draws in f32 whatever the precision, so that the masks are the same."""
    if not net.train:
        return x
    u = jax.random.uniform(net.next_key(), (x.shape[0], 1, 1, 1), jnp.float32)
    keep = 1.0 - rate
    mask = jnp.floor(jnp.float32(keep) + u).astype(x.dtype)
    return (x / keep if scale_by_keep else x) * mask


def dropout_mask(key, rate, shape):
    """True where dropout keeps an element, with probability 1 - rate."""
    return jax.random.uniform(key, shape, jnp.float32) < jnp.float32(1.0 - rate)


def dropout(net, x, rate):
    """`hk.dropout`; draws a key in training unless the rate is 0."""
    if not net.train or not rate > 0:
        return x
    return dropout_mask(net.next_key(), rate, x.shape) * x / (1.0 - rate)


def avg_pool(x, window, stride, padding="SAME"):
    """Mean over a window; padding is not counted."""
    def total(v):
        (h, w), (sh, sw) = pair(window), pair(stride)
        return lax.reduce_window(v, 0.0, lax.add, (1, h, w, 1), (1, sh, sw, 1), padding)
    if padding == "VALID":
        return total(x) / math.prod(pair(window))
    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def max_pool(x, window, stride, padding="SAME"):
    (h, w), (sh, sw) = pair(window), pair(stride)
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, h, w, 1), (1, sh, sw, 1), padding)


def signal_metrics(x, i):
    """Mean over channels of the squared mean and of the variance, named after the place in the network."""
    mean = jnp.mean(x, (0, 1, 2))
    return {f"avg_sq_mean_{i}": jnp.mean(mean**2),
            f"avg_var_{i}": jnp.mean(jnp.var(x, (0, 1, 2)))}


def residual_variance(x):
    """Mean over channels of the variance of a residual branch."""
    return jnp.mean(jnp.var(x, (0, 1, 2)))


def initial_values(created, seed, shapes=None):
    """Initial values as `hk.transform(model).init(PRNGKey(seed))` draws them, in f32.

    shapes: name -> (n,) for the first n values of some, which do not depend on how many follow.
    """
    last = max((c.key for c in created.values() if c.key is not None), default=-1)
    keys = haiku_keys(jax.random.PRNGKey(seed), last + 1)
    return {name: np.asarray(c.init.draw(None if c.key is None else keys[c.key],
                                         (shapes or {}).get(name, c.shape)))
            for name, c in created.items()}
