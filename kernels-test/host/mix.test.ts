// Mixup and CutMix: the ratios against JAX's, the boxes and mixtures by hand, and the loss of mixed labels on the adapter.
import { describe, expect, test } from "vitest";
import { io, OptionError, ops, random, ShapeError } from "../../src/index.ts";
import { openTestGpu } from "../gpu.ts";

/** Images of `size` in which no value occurs twice, with labels 10, 11, ... */
function batch(n: number, [height, width, channels]: [number, number, number] = [4, 5, 3]) {
  const size = n * height * width * channels;
  const data = Float32Array.from({ length: size }, (_, i) => Math.fround((i + 1) / 7));
  const labels = Uint32Array.from({ length: n }, (_, i) => 10 + i);
  return { images: { data, shape: [n, height, width, channels] }, labels };
}
const each = 4 * 5 * 3;

/** jax.random.beta(jax.random.PRNGKey(seed), alpha, alpha, (n,)) of JAX 0.10.2. */
const BETA = [
  {
    seed: 0,
    alpha: 0.2,
    ratios: [
      0.9896442890167236, 0.9999985694885254, 0.996340811252594, 0.0653928816318512,
      0.004215211607515812, 0.9995632767677307,
    ],
  },
  {
    seed: 7,
    alpha: 0.4,
    ratios: [
      0.015520542860031128, 0.9816648364067078, 0.5914714932441711, 0.16496822237968445,
      0.018842089921236038, 0.3667633533477783,
    ],
  },
  {
    seed: 3,
    alpha: 1,
    ratios: [0.06988818943500519, 0.544496476650238, 0.5101046562194824, 0.16097107529640198],
  },
  {
    seed: 5,
    alpha: 2.5,
    ratios: [0.3800981342792511, 0.36288437247276306, 0.4780162572860718, 0.8095006346702576],
  },
];

describe("mixup", () => {
  test.each(BETA)("ratios of seed $seed, alpha $alpha", ({ seed, alpha, ratios }) => {
    const { ratio } = io.mixup(batch(2 * ratios.length), random.key(seed), { alpha });
    // Measured on 24,000 ratios, alpha from 0.05 to 3: at most 8.9e-7 off.
    ratios.forEach((expected, i) => void expect(Math.abs(ratio[i]! - expected)).toBeLessThan(1e-6));
  });

  test("blends the first half with the second", () => {
    const { images, labels } = batch(4);
    const mixed = io.mixup({ images, labels }, random.key(0));
    expect(mixed.images.shape).toEqual([2, 4, 5, 3]);
    expect([...mixed.labels, ...mixed.mixLabels]).toEqual([10, 11, 12, 13]);
    mixed.images.data.forEach((value, i) => {
      const ratio = mixed.ratio[Math.floor(i / each)]!;
      const wanted = ratio * images.data[i]! + (1 - ratio) * images.data[i + 2 * each]!;
      expect(Math.abs(value - wanted)).toBeLessThan(2e-7 * wanted);
    });
  });

  test("what it refuses", () => {
    const { images, labels } = batch(4);
    const key = random.key(0);
    expect(() => io.mixup(batch(3), key)).toThrow(/mixup: .* multiple of 2, got 3/);
    expect(() => io.mixup({ images, labels: [1, 2] }, key)).toThrow(
      /4 images have 4 labels, got 2/,
    );
    const flat = { data: images.data, shape: [4, 60] };
    expect(() => io.mixup({ images: flat, labels }, key)).toThrow(/f32 \[n, h, w, c\], .*\[4,60\]/);
    const bytes = { data: new Uint32Array(4), shape: [4, 1, 1, 1] };
    expect(() => io.mixup({ images: bytes, labels }, key)).toThrow(ShapeError);
    for (const alpha of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => io.mixup({ images, labels }, key, { alpha })).toThrow(OptionError);
  });
});

describe("cutmix", () => {
  const box = (height: number, width: number, x: number, y: number, proportion: number) => {
    const { left, top, right, bottom, ratio } = io.cutmixBox(
      { height, width },
      { x, y, proportion },
    );
    return [left, top, right, bottom, ratio];
  };

  test("boxes by the pipeline's integer arithmetic", () => {
    // Half of the sides, 7 and 10 pixels: 3 and 5 to each side.
    expect(box(14, 20, 10, 7, 0.75)).toEqual([5, 4, 15, 10, Math.fround(60 / 280)]);
    // Cut at the image's edges, and the ratio with it.
    expect(box(14, 20, 1, 13, 0.75)).toEqual([0, 10, 6, 14, Math.fround(24 / 280)]);
    // Proportion 0: the sides of the image, cut at its centre's other side.
    expect(box(8, 8, 0, 4, 0)).toEqual([0, 0, 4, 8, 0.5]);
    expect(box(8, 8, 4, 4, 0)).toEqual([0, 0, 8, 8, 1]);
    // A side of one pixel has no half.
    expect(box(8, 8, 3, 3, 0.97)).toEqual([3, 3, 3, 3, 0]);
    expect(box(1, 1, 0, 0, 0)).toEqual([0, 0, 0, 0, 0]);
    // 20 times the f32 next to 0.7 is 14 in f32, and below 14 in f64.
    expect(box(20, 20, 10, 10, 0.51)).toEqual([3, 3, 17, 17, Math.fround(0.49)]);
  });

  test("pastes a box of the first half into the second", () => {
    const [n, height, width, channels] = [32, 9, 12, 2];
    const { images, labels } = batch(2 * n, [height, width, channels]);
    const mixed = io.cutmix({ images, labels }, random.key(4));
    const size = height * width * channels;
    const areas = [...mixed.ratio].map((ratio, i) => {
      const from = (start: number) =>
        [...mixed.images.data.subarray(i * size, (i + 1) * size)]
          .map((value, at) => (value === images.data[start * size + at] ? at : -1))
          .filter((at) => at >= 0);
      const [first, second] = [from(i), from(n + i)];
      expect(first.length + second.length).toBe(size);
      expect(Math.fround(first.length / size)).toBe(ratio);
      const rows = new Set(first.map((at) => Math.floor(at / channels / width)));
      const columns = new Set(first.map((at) => Math.floor(at / channels) % width));
      expect(rows.size * columns.size * channels).toBe(first.length);
      return first.length;
    });
    expect(new Set(areas).size).toBeGreaterThan(8);
    expect([...mixed.labels]).toEqual([...labels.subarray(0, n)]);
    expect([...mixed.mixLabels]).toEqual([...labels.subarray(n)]);
  });

  test("the centres and sizes are uniform", () => {
    const n = 2000;
    const { images } = batch(2 * n, [40, 1, 1]);
    const { ratio } = io.cutmix({ images, labels: new Uint32Array(2 * n) }, random.key(1));
    expect(Math.max(...ratio)).toBe(0); // one pixel wide: the half of it is none
    const wide = batch(2 * n, [1, 40, 1]);
    expect(Math.max(...io.cutmix(wide, random.key(1)).ratio)).toBe(0);
    const square = batch(2 * n, [8, 8, 1]);
    // Over all centres and sqrt(1 - u): the mean of the covered part by summing, with its standard error.
    let [sum, squares, count] = [0, 0, 0];
    for (let u = 0.0005; u < 1; u += 0.001)
      for (let x = 0; x < 8; x++)
        for (let y = 0; y < 8; y++, count++) {
          const part = io.cutmixBox({ height: 8, width: 8 }, { x, y, proportion: u }).ratio;
          sum += part;
          squares += part * part;
        }
    const mean = sum / count;
    const error = Math.sqrt((squares / count - mean ** 2) / n);
    const drawn = [...io.cutmix(square, random.key(2)).ratio].reduce((a, b) => a + b, 0) / n;
    expect(Math.abs(drawn - mean)).toBeLessThan(4 * error);
  });
});

test("mixupCutmix: quarters", () => {
  const { images, labels } = batch(8);
  const mixed = io.mixupCutmix({ images, labels }, random.key(9), { alpha: 0.4 });
  expect([...mixed.labels]).toEqual([10, 11, 14, 15]);
  expect([...mixed.mixLabels]).toEqual([12, 13, 16, 17]);
  const part = (from: number) => {
    const data = images.data.slice(from * each, (from + 4) * each);
    return { images: { data, shape: [4, 4, 5, 3] }, labels: labels.slice(from, from + 4) };
  };
  const [first, second] = random.split(random.key(9)) as [random.Key, random.Key];
  const [blended, pasted] = [io.mixup(part(0), first, { alpha: 0.4 }), io.cutmix(part(4), second)];
  expect([...mixed.images.data]).toEqual([...blended.images.data, ...pasted.images.data]);
  expect([...mixed.ratio]).toEqual([...blended.ratio, ...pasted.ratio]);
  expect(() => io.mixupCutmix(batch(6), random.key(0))).toThrow(/multiple of 4, got 6/);
});

describe("mixedTargets", () => {
  const mixed = {
    labels: Uint32Array.of(1, 2),
    mixLabels: Uint32Array.of(0, 2),
    ratio: Float32Array.of(0.25, 0.3),
  };
  test("a part each, all of it where both are one class", () => {
    const { data, shape } = io.mixedTargets(mixed, 3);
    expect(shape).toEqual([2, 3]);
    expect([...data]).toEqual([0.75, 0.25, 0, 0, 0, 1]);
    expect(() => io.mixedTargets(mixed, 2)).toThrow(/label 2 is none of 2 classes/);
  });

  test("the loss is the mean of the two labels' losses", async () => {
    const gpu = await openTestGpu();
    const logits = gpu.tensor(Float32Array.of(0.3, -1, 2, 1.5, 0.1, -0.7), [2, 3]);
    const loss = (labels: Parameters<typeof gpu.tensor>[0], shape: number[]) =>
      gpu.read(
        ops.softmaxCrossEntropy(logits, gpu.tensor(labels, shape), {
          smoothing: 0.1,
          reduction: "none",
        }),
      );
    const [a, b, both] = await Promise.all([
      loss(mixed.labels, [2]),
      loss(mixed.mixLabels, [2]),
      loss(io.mixedTargets(mixed, 3).data, [2, 3]),
    ]);
    mixed.ratio.forEach((ratio, i) => {
      const wanted = ratio * a.data[i]! + (1 - ratio) * b.data[i]!;
      expect(Math.abs(both.data[i]! - wanted)).toBeLessThan(3e-7 * wanted);
    });
    gpu.close();
  });
});
