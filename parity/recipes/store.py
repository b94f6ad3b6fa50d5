"""The format of golden data (golden/README.md): the fill rule, safetensors files, a case's inputs and outputs."""
import json
import math
import os

import numpy as np

STRIDE_ABOVE, STRIDE = 4096, 11
SAMPLES = 16

_TYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U8": "|u1",
          "BOOL": "|b1"}
_NAMES = {np.dtype(numpy): name for name, numpy in _TYPES.items()}


def read_safetensors(path):
    """Arrays by name."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            flat = np.frombuffer(data[8 + size + begin:8 + size + end], _TYPES[entry["dtype"]])
            arrays[name] = flat.reshape(entry["shape"])
    return arrays


def write_safetensors(path, arrays):
    header, at, parts = {}, 0, []
    for name, array in arrays.items():
        part = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head + b"".join(parts))


# ---- the fill rule ----
def _uniform(name, n):
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    x = (h + np.arange(n, dtype=np.uint64) * 0x9E3779B9) & 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & 0xFFFFFFFF
    return ((x ^ (x >> np.uint64(16))).astype(np.float64) + 0.5) / 2**32


def fill(name, shape, mean=0.0, std=1.0):
    u = _uniform(name, math.prod(shape))
    return (((2 * u - 1) * math.sqrt(3)) * std + mean).astype(np.float32).reshape(shape)


def fill_int(name, shape, k):
    return np.floor(_uniform(name, math.prod(shape)) * k).astype(np.int32).reshape(shape)


def parameter_rule(name, shape):
    """Mean and standard deviation of a parameter by the last part of its name."""
    kind = name.rsplit("/", 1)[-1]
    if kind == "w":
        return 0.0, 1 / math.sqrt(math.prod(shape[:-1]))
    if kind in ("gain", "scale"):
        return 1.0, 0.1
    return (0.5 if kind == "skip_gain" else 0.0), 0.1


def fill_parameters(seed, shapes):
    """All parameters of a case that fills them by kind."""
    return {name: fill(f"{seed}/{name}", shape, *parameter_rule(name, shape)) for name, shape in shapes.items()}


def filled(name, shape, mean=0.0, std=1.0):
    """A manifest entry of an input."""
    return {"shape": list(shape), "fill": {"name": name, "mean": mean, "std": std}}


def filled_int(name, shape, k):
    return {"shape": list(shape), "fillInt": {"name": name, "k": k}}


def make_input(entry):
    """The values of an entry by its rule; None where it has none."""
    if "fill" in entry:
        rule = entry["fill"]
        return fill(rule["name"], entry["shape"], rule["mean"], rule["std"])
    if "fillInt" in entry:
        return fill_int(entry["fillInt"]["name"], entry["shape"], entry["fillInt"]["k"])
    if "constant" in entry:
        value = entry["constant"]
        return np.full(entry["shape"], value, np.int32 if isinstance(value, int) else np.float32)
    return None


# ---- numbers in JSON ----
def number(x):
    x = float(x)
    return x if math.isfinite(x) else "nan" if math.isnan(x) else "inf" if x > 0 else "-inf"


def norms(array):
    flat = np.asarray(array, np.float64).ravel()
    with np.errstate(all="ignore"):
        return {"l2": number(np.sqrt(np.sum(flat * flat))), "sum": number(np.sum(flat))}


def rel_l2(a, b):
    """|a - b| / |b| over the elements that are finite in b; infinite where kinds differ."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    finite = np.isfinite(b)
    with np.errstate(all="ignore"):
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return math.inf
        gap, norm = np.linalg.norm((a - b)[finite]), np.linalg.norm(b[finite])
    return float(gap / norm) if norm else (0.0 if gap == 0 else math.inf)


# ---- writing ----
def output_entry(name, f32, f64, tensors):
    """The manifest entry of one output; adds its values to `tensors`. f64 is None where only f32 counts."""
    f32 = np.asarray(f32)
    if f32.dtype.kind in "iub":
        kept = f32.astype(np.uint8) if f32.dtype == bool else f32
        tensors[f"int/{name}"] = np.atleast_1d(kept)
        return {"shape": list(f32.shape), "stored": "full"}
    entry = {"shape": list(f32.shape), "stored": "full", "f32": norms(f32)}
    strided = f32.size > STRIDE_ABOVE
    if strided:
        entry.update(stored="strided", k=STRIDE)
    values = {"f32": f32.astype(np.float32)}
    if f64 is not None:
        values["f64"] = np.asarray(f64, np.float64)
        entry["f64"] = norms(f64)
        entry["f32_rel_l2"] = number(rel_l2(f32, f64))
    for precision, array in values.items():
        tensors[f"{precision}/{name}"] = array.ravel()[::STRIDE] if strided else np.atleast_1d(array)
    return entry


def gradient_summary(f32, f64):
    """What the side JSON says of one parameter's gradient."""
    k = max(1, f32.size // SAMPLES)
    summary = {"shape": list(f32.shape), "rel": number(rel_l2(f32, f64)), "k": k}
    for precision, array in (("f32", f32), ("f64", f64)):
        flat = np.asarray(array, np.float64).ravel()
        own = norms(flat)
        summary[f"l2_{precision}"], summary[f"sum_{precision}"] = own["l2"], own["sum"]
        summary[f"samples_{precision}"] = [number(v) for v in flat[::k][:SAMPLES]]
    return summary


# ---- checking ----
def _float(x):
    return float(x)  # "nan" and "inf" are Python's own names, too


def summary_error(ours, samples, k, l2, total):
    """The largest of the three relative differences between an array and a summary of another."""
    flat = np.asarray(ours, np.float64).ravel()
    own, samples = norms(flat), np.asarray([_float(s) for s in samples])
    l2, total, scale = _float(l2), _float(total), math.sqrt(flat.size)
    if not math.isfinite(l2):
        return rel_l2(flat[::k][:len(samples)], samples)
    gap = np.linalg.norm(flat[::k][:len(samples)] - samples) * math.sqrt(flat.size / len(samples))
    worst = max(gap, abs(_float(own["l2"]) - l2), abs(_float(own["sum"]) - total) / scale)
    return float(worst / l2) if l2 else (0.0 if worst == 0 else math.inf)


class Folder:
    """A folder of goldens."""

    def __init__(self, path):
        self.path = path
        with open(os.path.join(path, "manifest.json"), encoding="utf-8") as file:
            self.cases = json.load(file)["cases"]

    def case(self, case_id):
        return next(c for c in self.cases if c["id"] == case_id)

    def tensors(self, case):
        return read_safetensors(os.path.join(self.path, case["file"])) if case.get("file") else {}

    def side(self, case):
        if not case.get("side"):
            return None
        with open(os.path.join(self.path, case["side"]), encoding="utf-8") as file:
            return json.load(file)

    def inputs(self, case):
        """Values by name: stored or filled, f32 or int32."""
        stored, values = self.tensors(case), {}
        for name, entry in case.get("inputs", {}).items():
            made = make_input(entry)
            if made is None and "formula" not in entry:
                made = stored[f"in/{name}"].reshape(entry["shape"])
            if made is not None:
                values[name] = made
        return values
