"""The demo's preprocessing: Pillow's bicubic resize restated in NumPy, a crop, the normalisation."""
import math

import numpy as np

from . import store
from .base import Recipe

_BITS = 22  # of the fixed-point coefficients that Pillow uses for bytes
BORDER = 16
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.120000000000005, 57.375]


def _cubic(x):
    """Keys' kernel, a = -0.5."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _coefficients(size, out):
    """For each output place: the first input place, and whole-number weights."""
    scale = size / out
    stretch = max(scale, 1.0)  # shrinking widens the kernel: that is the antialiasing
    support = 2.0 * stretch
    rows = []
    for place in range(out):
        center = (place + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), size)
        weights = [_cubic((i - center + 0.5) / stretch) for i in range(first, last)]
        total = sum(weights)
        normed = [w / total if total else w for w in weights]
        rows.append((first, [int(math.copysign(0.5, w) + w * (1 << _BITS)) for w in normed]))
    return rows


def _resize_rows(image, out):
    """Along axis 0, rounded to bytes."""
    if image.shape[0] == out:
        return image
    result = np.empty((out, *image.shape[1:]), np.uint8)
    for place, (first, weights) in enumerate(_coefficients(image.shape[0], out)):
        part = image[first:first + len(weights)].astype(np.int64)
        total = np.tensordot(np.asarray(weights, np.int64), part, 1) + (1 << (_BITS - 1))
        result[place] = np.clip(total >> _BITS, 0, 255)
    return result


def resize(image, width, height):
    """`Image.resize((width, height))` of an RGB picture [h, w, 3] of bytes. Rows go first where they shrink much more."""
    def across(picture):
        return _resize_rows(picture.swapaxes(0, 1), width).swapaxes(0, 1)
    lost = image.shape[0] - height
    if lost > 0 and lost > 2 * (image.shape[1] - width):
        return across(_resize_rows(image, height))
    return _resize_rows(across(image), height)


def _smooth(width, height):
    y, x = np.mgrid[:height, :width]
    channels = (255 * x // (width - 1), 255 * y // (height - 1), 255 * (((x >> 4) + (y >> 4)) & 1))
    return np.stack(channels, -1).astype(np.uint8)


def _preprocess(case, values, folder):
    c = case["config"]
    image = values["image"] if "image" in values else _smooth(c["width"], c["height"])
    size = c["imsize"] + 2 * BORDER
    resized = resize(np.asarray(image).astype(np.uint8), size, size)
    cropped = resized[BORDER:-BORDER, BORDER:-BORDER]
    x = (cropped.astype(np.float64) - np.asarray(c["mean"])) / np.asarray(c["std"])
    return {"resized": resized, "cropped": cropped, "x": x}


def _inputs(case):
    c = case["config"]
    c.setdefault("mean", MEAN)
    c.setdefault("std", STD)
    return {"image": store.filled_int(f"{case['id']}/img", [c["height"], c["width"], 3], 256)}


PREPROCESS = Recipe(_preprocess, _inputs, defaults=lambda rng: {
    "kind": "noise", "width": rng.randint(40, 200), "height": rng.randint(40, 200), "imsize": 32,
    "source": "fillInt k=256", "resample": "BICUBIC (PIL default)"})
