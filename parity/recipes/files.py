"""Checkpoints: a model's logits from its parameters, its names, arrays of odd kinds; and files to load."""
import io
import os
import pickle

import numpy as np

from . import store
from .base import Recipe, image_shape, parameter_entries, parameters
from .networks import network

FOLDER = "checkpoints"

# What a pickle of arrays may name; nothing else is called.
_ALLOWED = {"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer", "encode"}


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of numpy arrays, by numpy 1's names or numpy 2's, and refuses everything else."""

    def find_class(self, module, name):
        if name in _ALLOWED and module.split(".")[0] in ("numpy", "_codecs"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def read_pickle(path):
    with open(path, "rb") as file:
        return _Arrays(io.BytesIO(file.read())).load()


def flattened(name):
    """utils.py: flatten_haiku_tree: the same name with dots."""
    return name.replace("/~/", ".").replace("/", ".")


def _checkpoints(case, values, folder):
    if "files" not in case["config"]:
        return _odd(case, folder)
    model = network({**case, "reference": "nfnet.py:NFNet", "config": {
        k: v for k, v in case["config"].items() if k in ("variant", "num_classes")}})
    params = parameters(values)
    out, _ = model.apply(params, values["x"])
    return {"logits": out["logits"], "side": {name: flattened(name) for name in model.created()[0]}}


def _odd(case, folder):
    """Every array of the file that another case lists as odd, as f32."""
    other = next(c for c in folder.cases if c["config"].get("files", {}).get("odd"))
    tree = read_pickle(os.path.join(folder.path, FOLDER, other["config"]["files"]["odd"][0]))
    leaves = {name: value for module in tree.values() for name, value in module.items()}
    return {name: np.asarray(value).astype(np.float32) for name, value in leaves.items()}


def write_files(folder, prefix, params):
    """The same parameters as people have them; returns the names to load and to refuse."""
    os.makedirs(os.path.join(folder, FOLDER), exist_ok=True)
    tree = {}
    for name, value in params.items():
        module, leaf = name.rsplit("/", 1)
        tree.setdefault(module, {})[leaf] = np.asarray(value, np.float32)

    def path(name):
        return os.path.join(folder, FOLDER, f"{prefix}-{name}")
    load = []
    for protocol in (2, 3, 4, 5):
        load.append(f"{prefix}-pickle{protocol}.npz")
        with open(path(f"pickle{protocol}.npz"), "wb") as file:
            pickle.dump(tree, file, protocol)
    flat = {name: np.asarray(value, np.float32) for name, value in params.items()}
    np.savez(path("savez.npz"), **flat)
    np.savez_compressed(path("savez-compressed.npz"), **flat)
    store.write_safetensors(path("tiny.safetensors"), flat)
    with open(path("pickle4.npz"), "rb") as file:
        whole = file.read()
    broken = {"empty.npz": b"", "truncated.npz": whole[:len(whole) // 3], "not-a-tree.npz": pickle.dumps([1, 2]),
              "evil-eval.npz": b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R."}
    for name, data in broken.items():
        with open(path(name), "wb") as file:
            file.write(data)
    load += [f"{prefix}-{name}" for name in ("savez.npz", "savez-compressed.npz", "tiny.safetensors")]
    return {"load": load, "refuse": [f"{prefix}-{name}" for name in broken]}


def _inputs(case):
    config = {**case["config"], "label_smoothing": 0}
    model = network({**case, "reference": "nfnet.py:NFNet", "config": {
        k: v for k, v in config.items() if k in ("variant", "num_classes")}})
    case["config"]["files"] = {}
    shape = image_shape({"batch": 2, "imsize": 32})
    return {"x": store.filled(f"{case['id']}/x", shape),
            **parameter_entries(case["id"], model.created()[0])}


CHECKPOINTS = Recipe(_checkpoints, _inputs, side="json",
                     f32_only=lambda name: name not in ("logits", "side"))
