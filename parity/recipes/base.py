"""What a recipe is, and what several of them share."""
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfnets.layers import Net

from . import store


class Recipe(NamedTuple):
    """A category of goldens.

    run: (case, values, folder) -> outputs by name. It is called once a precision; `values` are its inputs in that
      precision (integers stay). Outputs named `side` are for the side JSON, which `side_of` then makes or compares.
    inputs: case -> manifest entries of its inputs, for a new case; None where new cases are not made.
    f32_only: output -> True where there is no meaning in f64 (random draws).
    side: "gradients" (summaries of outputs `d/p/...`), "json" (the output `side` itself) or None.
    defaults: settings of a new case that does not name its own, drawn with a random.Random.
    """

    run: Callable
    inputs: Callable | None = None
    f32_only: Callable = lambda name: False
    side: str | None = None
    defaults: Callable | None = None
    extra: Callable = lambda case, outputs: {}


def parameters(values):
    """The inputs `p/<name>` by name."""
    return {name[2:]: value for name, value in values.items() if name.startswith("p/")}


def working_dtype():
    return jnp.zeros(0).dtype


def filled_parameters(case, shapes):
    """Parameters of a case that gives only their seed, in the working precision."""
    made = store.fill_parameters(case["params"]["seed"], shapes)
    return {name: jnp.asarray(value, working_dtype()) for name, value in made.items()}


def parameter_entries(case_id, created):
    """Manifest entries for the parameters that a layer or network created."""
    return {f"p/{name}": store.filled(f"{case_id}/{name}", c.shape, *store.parameter_rule(name, c.shape))
            for name, c in created.items()}


def record(apply, shape):
    """What `apply(net, x)` creates, and the shape of its value, without computing anything."""
    net = Net(train=True)
    out = jax.eval_shape(lambda x: apply(net, x), jax.ShapeDtypeStruct(tuple(shape), jnp.float32))
    return net.created, jax.tree.leaves(out)[0].shape


def layer_outputs(apply, values, **net):
    """Value, what is beside it, and gradients by x and all parameters for the cotangent `ct` (or 1).

    apply: (net, x) -> value or (value, {name: other value}).
    """
    def value(x, params):
        out = apply(Net(params, **net), x)
        return out if isinstance(out, tuple) else (out, {})
    y, pull, beside = jax.vjp(value, values["x"], parameters(values), has_aux=True)
    ct = values["ct"] if "ct" in values else jnp.ones_like(y)
    dx, dp = pull(ct.astype(y.dtype))
    return {"y": y, **beside, "d/x": dx, **{f"d/p/{name}": d for name, d in dp.items()}}


def layer_inputs(case, apply, shape, mean=0.0, std=1.0, ct=True):
    """Inputs of a new case of a layer: x, its parameters, a cotangent."""
    created, out = record(apply, shape)
    entries = {"x": store.filled(f"{case['id']}/x", shape, mean, std),
               **parameter_entries(case["id"], created)}
    return {**entries, "ct": store.filled(f"{case['id']}/ct", out)} if ct else entries


def module_name(values, otherwise):
    """The outermost module of the parameters, as a case names it."""
    first = next((name for name in values if name.startswith("p/")), None)
    return first.split("/")[1] if first else otherwise


def image_shape(config, channels=3):
    """[batch, height, width, channels] of a case's input."""
    size = config.get("imsize", 32)
    h, w = size if isinstance(size, (list, tuple)) else (size, size)
    return (config.get("batch", 2), config.get("h", h), config.get("w", w), channels)


def as_arrays(outputs):
    return {name: np.asarray(value) if name != "side" else value for name, value in outputs.items()}


def case_shapes(case):
    """Shapes of a case's outputs that hold the first values of a larger array: those with one dimension."""
    shapes = {name: tuple(entry["shape"]) for name, entry in (case.get("outputs") or {}).items()}
    return {name: shape for name, shape in shapes.items() if len(shape) == 1}
