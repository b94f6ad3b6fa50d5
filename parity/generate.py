"""Makes golden data in the format of parity/golden, and checks golden data, with our own JAX code (nfnets/, recipes/).

    python parity/generate.py --out DIR --seed 1 [--only CATEGORY ...]   cases drawn from a seed
    python parity/generate.py --out DIR --cases cases.json               cases that you describe
    python parity/generate.py --check DIR [--only CATEGORY ...]          are its f64 values ours?

A description is {"id", "category", "reference", "config"} (docs/parity.md); inputs and parameters are made from names by
the fill rule. `--check` computes every case again in f64 and compares with what is stored, to 1e-12. Needs JAX and NumPy.
"""
import argparse
import json
import math
import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from recipes import RECIPES, store  # noqa: E402
from recipes.base import as_arrays  # noqa: E402
from recipes.draw import new_cases  # noqa: E402
from recipes.files import write_files  # noqa: E402

REAL = 1e-12  # of f64 values, relative
SINGLE = 1e-6  # of values that are given in f32 alone


def compute(case, inputs, folder, precision):
    """A case's outputs in one precision, as NumPy arrays."""
    jax.config.update("jax_enable_x64", precision == "f64")
    wide = jnp.float64 if precision == "f64" else jnp.float32
    values = {name: jnp.asarray(v, wide) if v.dtype.kind == "f" else jnp.asarray(v) for name, v in inputs.items()}
    return as_arrays(RECIPES[case["category"]].run(case, values, folder))


# ---- checking ----
def json_difference(ours, theirs, path=""):
    """The first place where two JSON values differ; real numbers may by 1e-12. Order of keys counts."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if list(ours) != list(theirs) and (set(ours) != set(theirs) or path.endswith((".params", ".state"))):
            return f"{path}: other keys, or another order"
        return next((d for k in theirs if (d := json_difference(ours[k], theirs[k], f"{path}.{k}"))), None)
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs))
        return next((d for i, (a, b) in pairs if (d := json_difference(a, b, f"{path}[{i}]"))), None)
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (ours, theirs))
    same = math.isclose(ours, theirs, rel_tol=REAL) if numbers else ours == theirs
    return None if same else f"{path}: {ours}, stored {theirs}"


def compare_output(name, entry, stored, outputs):
    """(error, limit) of one output against the best precision that the file has."""
    def ours(precision):
        if name not in outputs[precision]:
            raise ValueError(f"{name}: nothing computes it")
        array = outputs[precision][name]
        if list(array.shape) != entry["shape"]:
            raise ValueError(f"{name}: shape {list(array.shape)}, stored {entry['shape']}")
        return array
    if f"int/{name}" in stored:
        mine = np.atleast_1d(ours("f32")).astype(np.int64).ravel()
        return float(np.sum(mine != stored[f"int/{name}"].astype(np.int64).ravel())), 0.0
    precision, limit = ("f64", REAL) if f"f64/{name}" in stored else ("f32", SINGLE)
    values = stored[f"{precision}/{name}"].ravel()
    if entry["stored"] == "full":
        return store.rel_l2(ours(precision), values), limit
    figures = entry[precision]
    return store.summary_error(ours(precision), values, entry["k"], figures["l2"], figures["sum"]), limit


def check_case(case, folder):
    """[(what, error, limit)] of a case: outputs, stored inputs, the side file."""
    recipe = RECIPES[case["category"]]
    stored, inputs, side = folder.tensors(case), folder.inputs(case), folder.side(case)
    rows = []
    for name, entry in case.get("inputs", {}).items():
        made = store.make_input(entry)
        if made is not None and f"in/{name}" in stored:
            rows.append((f"in/{name}", float(np.sum(made.ravel() != stored[f"in/{name}"].ravel())), 0.0))
    needed = {"f64" if f"f64/{name}" in stored else "f32" for name in case["outputs"]}
    if side is not None:
        needed.add("f64" if recipe.side == "gradients" else "f32")
    outputs = {precision: compute(case, inputs, folder, precision) for precision in sorted(needed)}
    if any(f"int/{name}" in stored for name in case["outputs"]):
        outputs.setdefault("f32", outputs.get("f64"))
    for name, entry in case["outputs"].items():
        rows.append((name, *compare_output(name, entry, stored, outputs)))
    if side is not None and recipe.side == "gradients":
        for name, s in side.items():
            mine = outputs["f64"][f"d/p/{name}"]
            error = store.summary_error(mine, s["samples_f64"], s["k"], s["l2_f64"], s["sum_f64"])
            rows.append((f"d/p/{name}", error, REAL))
    elif side is not None:
        found = json_difference(outputs["f32"]["side"], side)
        rows.append((found or "side file", 1.0 if found else 0.0, 0.0))
    return rows


def check(path, only):
    """Prints a line a case and what fails; True if nothing does."""
    folder = store.Folder(path)
    cases = [c for c in folder.cases if not only or c["category"] in only]
    failed, outputs, worst, empty = [], 0, 0.0, 0
    for case in cases:
        begin = time.perf_counter()
        try:
            rows = check_case(case, folder)
        except Exception as error:  # noqa: BLE001 (any failure is a failed case)
            rows = [(f"{type(error).__name__}: {error}", math.inf, 0.0)]
        bad = [row for row in rows if not row[1] <= row[2]]
        largest = max((row[1] for row in rows), default=0.0)
        failed += [case["id"]] if bad else []
        outputs, worst, empty = outputs + len(rows), max(worst, *[r[1] for r in rows if r[2] == REAL], 0.0), empty + (not rows)
        print(f"{'FAIL' if bad else 'ok  '} {case['category']:12} {case['id']:32} {len(rows):4} outputs  "
              f"worst {largest:8.1e}  {time.perf_counter() - begin:6.1f} s", flush=True)
        for name, error, limit in bad[:5]:
            print(f"       {name}: {error:.2e}, at most {limit:.0e}")
    print(f"{len(cases)} cases, {outputs} outputs: {len(failed)} cases fail; worst f64 error {worst:.1e}"
          + (f"; {empty} only hold inputs of others" if empty else ""))
    return not failed and bool(cases)


# ---- making ----
def make_case(given, folder, out):
    """Computes a described case and writes its files; returns its manifest entry."""
    case = {"what": "", **given, "config": dict(given["config"])}
    recipe = RECIPES[case["category"]]
    case["inputs"] = recipe.inputs(case)
    for key in ("shape", "std", "out"):  # of the description, not of the format
        case.pop(key, None)
    inputs = {name: store.make_input(entry) for name, entry in case["inputs"].items()}
    tensors = {f"in/{name}": v for name, v in inputs.items() if case["inputs"][name].get("stored")}
    if case["category"] == "checkpoints":
        case["config"]["files"] = write_files(out, case["id"], {
            n[2:]: v for n, v in inputs.items() if n.startswith("p/")})
    f32 = compute(case, inputs, folder, "f32")
    wide = any(not recipe.f32_only(name) for name in f32)
    f64 = compute(case, inputs, folder, "f64") if wide else {}
    case.update(recipe.extra(case, f32))
    side = f32.pop("side", None)
    case["outputs"] = {name: store.output_entry(name, array, None if recipe.f32_only(name) else f64[name], tensors)
                       for name, array in f32.items()}
    case["file"] = f"{case['id']}.safetensors" if tensors else None
    if tensors:
        store.write_safetensors(os.path.join(out, case["file"]), tensors)
    if side is not None:
        case["side"] = f"{case['id']}.json"
        with open(os.path.join(out, case["side"]), "w", encoding="utf-8") as file:
            json.dump(side, file)
    return case


def make(given, out):
    """Writes a folder of goldens."""
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "manifest.json")
    manifest = {"meta": {"jax": jax.__version__, "numpy": np.__version__}, "cases": []}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    for description in given:
        folder = store.Folder(out)
        manifest["cases"].append(make_case(description, folder, out))
        print(f"made {description['id']}", flush=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(manifest, file)
    print(f"{len(given)} cases in {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="DIR")
    parser.add_argument("--out", metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", metavar="FILE")
    parser.add_argument("--only", nargs="*", default=[], metavar="CATEGORY")
    options = parser.parse_args()
    if bool(options.check) == bool(options.out):
        parser.error("either --check DIR or --out DIR")
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_platforms", "cpu")
    if options.check:
        sys.exit(0 if check(options.check, options.only) else 1)
    if options.cases:
        with open(options.cases, encoding="utf-8") as file:
            given = json.load(file)
    else:
        given = new_cases(options.seed)
    make([c for c in given if not options.only or c["category"] in options.only], options.out)


if __name__ == "__main__":
    main()
