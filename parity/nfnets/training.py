"""What a training step needs beside a model: losses, accuracy, optimizers, schedules, averages, parameter groups.

Parameters, gradients and states are flat dictionaries by Haiku name. An optimizer's update takes one parameter:
(parameter, gradient, state, settings) -> (parameter, state).
"""
import jax
import jax.numpy as jnp
from jax import lax


# ---- losses ----
def smooth(y, smoothing, classes):
    return (1.0 - smoothing) * y + smoothing / classes


def one_hot(labels, classes):
    """In the working precision: f64 under x64."""
    return (labels[:, None] == jnp.arange(classes)).astype(jnp.zeros(0).dtype)


def softmax_cross_entropy(logits, y, reduction="mean"):
    """y: a distribution over classes a row."""
    loss = -jnp.sum(y * jax.nn.log_softmax(logits), -1)
    return {"none": lambda v: v, "sum": jnp.sum, "mean": jnp.mean}[reduction](loss)


def top_k_accuracy(logits, labels, k):
    """1 where the label is among the k largest logits; among equal ones the later class counts as larger."""
    best = jnp.argsort(logits)[..., -k:]
    return jnp.any(best == labels[:, None], -1).astype(jnp.float32)


# ---- norms and clipping ----
def unitwise_norm(x):
    """The norm of each output unit: over all axes but the last; of vectors and scalars as a whole."""
    if jnp.squeeze(x).ndim <= 1:
        return jnp.sum(x**2) ** 0.5
    return jnp.sum(x**2, (0,) if x.ndim < 4 else (0, 1, 2), keepdims=True) ** 0.5


def agc(param, grad, clipping, eps=1e-3):
    """Adaptive gradient clipping: units whose gradient is longer than `clipping` times the parameter are scaled."""
    longest = jnp.maximum(unitwise_norm(param), eps) * clipping
    norm = unitwise_norm(grad)
    return jnp.where(norm > longest, grad * (longest / jnp.maximum(norm, 1e-6)), grad)


def agc_optax(param, grad, clip, eps=1e-3):
    """The same rule as optax has it: what is not shorter is scaled, so NaN norms are, too."""
    norm, longest = unitwise_norm(grad), clip * jnp.maximum(unitwise_norm(param), eps)
    return jnp.where(norm < longest, grad, grad * (longest / jnp.maximum(norm, 1e-6)))


# ---- optimizers ----
def _decayed(param, grad, s):
    return grad if s.get("weight_decay") is None else grad + param * s["weight_decay"]


def sgd(param, grad, state, s):
    grad, state = _decayed(param, grad, s), dict(state)
    if "momentum" in state:
        state["momentum"] = s["momentum"] * state["momentum"] + (1 - s["dampening"]) * grad
        nesterov = s["nesterov"] is not None  # False counts as given, too
        grad = grad + s["momentum"] * state["momentum"] if nesterov else state["momentum"]
    return param - s["lr"] * grad, state


def sgd_agc(param, grad, state, s):
    if s["clipping"] is not None:
        grad = agc(param, grad, s["clipping"], s["eps"])
    return sgd(param, grad, state, s)


def adam(param, grad, state, s):
    state = {**state, "step": state["step"] + 1}
    if s.get("weight_decay") is not None:
        if s.get("use_adamw") is not None:
            param = param * (1 - s["lr"] * s["weight_decay"])
        else:
            grad = _decayed(param, grad, s)
    step_size = s["lr"] * grad
    if "exp_avg" in state:
        state["exp_avg"] = state["exp_avg"] * s["beta1"] + (1 - s["beta1"]) * grad
        step_size = s["lr"] * state["exp_avg"] / (1 - s["beta1"] ** state["step"])
    if "exp_avg_sq" in state:
        state["exp_avg_sq"] = state["exp_avg_sq"] * s["beta2"] + (1 - s["beta2"]) * grad * grad
        denominator = jnp.sqrt(state["exp_avg_sq"]) * lax.rsqrt(1 - s["beta2"] ** state["step"]) + s["eps"]
    else:
        denominator = jnp.abs(grad) + s["eps"]
    return param - step_size / denominator, state


def rmsprop(param, grad, state, s):
    grad, state = _decayed(param, grad, s), dict(state)
    state["rms"] = state["rms"] * s["decay"] + (1 - s["decay"]) * grad**2
    state["momentum"] = state["momentum"] * s["momentum"] + s["lr"] * grad / (state["rms"] + s["eps"]) ** 0.5
    return param - state["momentum"], state


def fromage(param, grad, state, s):
    grad = _decayed(param, grad, s)
    ratio = jnp.maximum(jnp.linalg.norm(param), s["eps"]) / jnp.maximum(jnp.linalg.norm(grad), s["eps"])
    return (param - s["lr"] * grad * ratio) * lax.rsqrt(1 + jnp.asarray(s["lr"], param.dtype) ** 2), state


_SGD = {"weight_decay": None, "momentum": None, "dampening": 0, "nesterov": None}
OPTIMIZERS = {
    "SGD": (sgd, _SGD),
    "SGD_AGC": (sgd_agc, {**_SGD, "clipping": 0.01, "eps": 1e-3}),
    "Adam": (adam, {"beta1": 0.9, "beta2": 0.999, "weight_decay": None, "eps": 1e-8, "use_adamw": None}),
    "RMSProp": (rmsprop, {"weight_decay": None, "eps": 1e-8}),
    "Fromage": (fromage, {"weight_decay": None, "eps": 1e-5}),
}


def _first_state(kind, param, s):
    zeros = jnp.zeros_like(param)
    if kind == "Adam":
        state = {"step": jnp.zeros(1, zeros.dtype)}  # shape (1,), which a scalar parameter takes on
        kept = {"exp_avg": "beta1", "exp_avg_sq": "beta2"}
        return {**state, **{name: zeros for name, beta in kept.items() if s[beta] is not None}}
    if kind == "RMSProp":
        return {"rms": jnp.ones_like(param), "momentum": zeros}
    return {"momentum": zeros} if s.get("momentum") is not None else {}


class Optimizer:
    """One of OPTIMIZERS, or one a group (`opt` among a group's settings) for Hybrid.

    settings: lr (a number or a function of the step) and what else the optimizer takes.
    groups: [(predicate of the name, settings of the group)], the first that holds counts.
    """

    def __init__(self, kind, settings, groups=(), defaults=None):
        self.kind, self.groups = kind, list(groups)
        self.settings = {**(OPTIMIZERS[kind][1] if defaults is None else defaults), **settings}

    def settings_of(self, name, itr=0):
        own = next((s for holds, s in self.groups if holds(name)), {})
        merged = {**self.settings, **own}
        return {k: v(itr) if callable(v) else v for k, v in merged.items()}

    def init(self, params):
        """The state before the first step."""
        states = {}
        for name, param in params.items():
            s = self.settings_of(name)
            states[name] = _first_state(s.get("opt", self.kind), param, s)
        return states

    def step(self, params, grads, states, itr=0):
        """New parameters and states."""
        new_params, new_states = {}, {}
        for name, param in params.items():
            s = self.settings_of(name, itr)
            update = OPTIMIZERS[s.get("opt", self.kind)][0]
            new_params[name], new_states[name] = update(param, grads[name], states[name], s)
        return new_params, new_states


def is_gain_or_bias(name):
    """Parameters without weight decay (experiment.py: Experiment._make_opt)."""
    last = name.rsplit("/", 1)[-1]
    return last in ("scale", "offset", "b") or "gain" in last or "bias" in last


def is_classifier(name):
    """The weight of the last layer, which is not clipped."""
    module = name.rsplit("/", 1)[0]
    return "linear" in module and "squeeze_excite" not in module


def nfnet_groups(**classifier):
    """The groups of experiment_nfnets.py: no decay for gains and biases, no clipping for the classifier's weight."""
    return [(is_gain_or_bias, {"weight_decay": None}), (is_classifier, {"clipping": None, **classifier})]


# ---- schedules and averages ----
# Under x64 too, JAX divides int32 by an int in f32: so does a schedule whose step and lengths are whole numbers.
def _cosine(min_val, max_val, angle):
    return 0.5 * (max_val - min_val) * (1 + jnp.cos(angle)) + min_val


def cosine_decay(min_val, max_val, num_steps):
    return lambda t: _cosine(min_val, max_val, jnp.pi * t / num_steps)


def _after_warmup(start_val, max_val, warmup_steps, after):
    """Linear from start_val to max_val; `after` from the first step past warmup_steps."""
    def schedule(t):
        warm = (max_val - start_val) * (t / warmup_steps) + start_val
        return jnp.where(warmup_steps < t, after(t), warm)
    return schedule


def warmup_cosine_decay(start_val, min_val, max_val, num_steps, warmup_steps):
    def decayed(t):
        return _cosine(min_val, max_val, jnp.pi * ((t - warmup_steps) / (num_steps - warmup_steps)))
    return _after_warmup(start_val, max_val, warmup_steps, decayed)


def warmup_exp_decay(start_val, max_val, warmup_steps, decay_factor, decay_interval):
    def decayed(t):
        return max_val * decay_factor ** jnp.floor((t - warmup_steps) / decay_interval)
    return _after_warmup(start_val, max_val, warmup_steps, decayed)


def ema(average, value, decay, step=None):
    return average * decay + value * (1 - decay)


def tf1_ema(average, value, decay, step):
    """With TensorFlow 1's warm-up of the decay."""
    return ema(average, value, jnp.minimum(decay, (1.0 + step) / (10.0 + step)))
