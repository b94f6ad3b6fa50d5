// The training loop: batches, options, a run that learns, stops and goes on with the same bits, and its checkpoint.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FormatError,
  type Gpu,
  NfgradError,
  OptionError,
  ShapeError,
  tree,
} from "../../src/index.ts";
import { openFile, save, writeCheckpoint } from "../../src/io/checkpoint.ts";
import type { Dataset, Images } from "../../src/io/datasets.ts";
import {
  batchOf,
  epochOf,
  loadClassifier,
  openClassifier,
  type Progress,
  type State,
  scalingOf,
  train,
  variantByName,
} from "../../src/train/index.ts";
import { imageOf } from "../../src/train/picture.ts";
import { planOf } from "../../src/train/plan.ts";
import { openTestGpu } from "../gpu.ts";

/** Bars of four directions on a ground with noise: 12x12. */
function bars(count: number): Images {
  const [height, width] = [12, 12];
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 4);
  const pixels = Uint8Array.from({ length: count * height * width }, (_, at) => {
    const n = Math.floor(at / 144);
    const [y, x] = [Math.floor((at % 144) / 12), at % 12];
    const across = [x - 6, y - 6, x - y, x + y - 11][n % 4]! + ((n >> 2) % 3) - 1;
    return (Math.abs(across) < 2 ? 200 : 20) + ((at * 7919) % 41);
  });
  return { count, height, width, channels: 1, pixels, labels };
}
const data: Dataset = { name: "bars", classes: 4, train: bars(64), test: bars(24) };
const variant = {
  ...variantByName("demo"),
  sizes: { width: [16], depth: [1], groupWidth: [8], trainImsize: 12, testImsize: 12, dropRate: 0 },
  options: { stochdepthRate: 0 },
};
const still = { shift: 0, rotate: 0, zoom: 0, shear: 0 };
const recipe = { epochs: 4, batch: 16, lr: 0.05, trim: 0, augment: { ...still, shift: 1 } };

describe("batches", () => {
  const images: Images = {
    count: 2,
    height: 2,
    width: 3,
    channels: 1,
    pixels: Uint8Array.of(0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6),
    labels: Uint8Array.of(3, 1),
  };
  const plain = { height: 2, width: 3, mean: 0, std: 1 / 255 };
  const channel = (values: ArrayLike<number>) => Array.from(values).filter((_, i) => i % 3 === 0);

  test("pixels are scaled, grey fills three channels, labels follow", () => {
    const { x, labels } = batchOf(images, plain, [1, 0]);
    expect(x.shape).toEqual([2, 2, 3, 3]);
    expect([...labels]).toEqual([1, 3]);
    expect(channel(x.data).map(Math.round)).toEqual([1, 2, 3, 4, 5, 6, 0, 51, 102, 153, 204, 255]);
    for (let i = 0; i < x.data.length; i += 3) expect(x.data[i + 1]).toBe(x.data[i]);
  });
  test("a shift moves rows, then columns; outside is black", () => {
    const { x } = batchOf(images, plain, [0], [{ matrix: [1, 0, 0, 1], shift: [1, -1] }]);
    expect(channel(x.data).map(Math.round)).toEqual([0, 153, 204, 0, 0, 0]);
  });
  test("between pixels it is bilinear; a matrix turns around the centre", () => {
    const half = batchOf(images, plain, [0], [{ matrix: [1, 0, 0, 1], shift: [0.5, -0.25] }]);
    const corners = 0.5 * 0.75 * (0 + 153); // the pixels to the left are outside
    expect(half.x.data[0]).toBeCloseTo(corners, 4);
    const turned = batchOf(images, plain, [0], [{ matrix: [-1, 0, 0, -1], shift: [0, 0] }]);
    expect(channel(turned.x.data).map(Math.round)).toEqual([255, 204, 153, 102, 51, 0]);
  });
  test("colours keep their channels", () => {
    const pixels = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const rgb = { count: 1, height: 1, width: 2, channels: 3, pixels, labels: Uint8Array.of(0) };
    const { x } = batchOf(rgb, { ...plain, height: 1, width: 2 }, [0]);
    expect(Array.from(x.data).map(Math.round)).toEqual([1, 2, 3, 4, 5, 6]);
  });
  test("cutting keeps the centre", () => {
    const { x } = batchOf(images, { ...plain, width: 1 }, [0]);
    expect(channel(x.data).map(Math.round)).toEqual([51, 204]);
  });
  test("the scaling gives mean 0 and standard deviation 1", () => {
    const scaling = scalingOf(data.train, 0);
    const { x } = batchOf(
      data.train,
      scaling,
      Array.from({ length: 64 }, (_, i) => i),
    );
    const values = Array.from(x.data);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, b) => a + b * b, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(1e-5);
    expect(Math.abs(variance - 1)).toBeLessThan(1e-5);
  });
  test("an epoch shows each image once, in an order of seed and epoch", () => {
    const scaling = scalingOf(data.train, 0);
    const order = (seed: number, epoch: number) =>
      [...epochOf(data.train, scaling, { seed, epoch, batch: 16, augment: still })].flatMap(
        ({ x }) =>
          Array.from({ length: 16 }, (_, n) => x.data.subarray(n * 432, (n + 1) * 432).join()),
      );
    const all = order(0, 0);
    expect(all).toHaveLength(64);
    expect(new Set(all).size).toBe(new Set(order(5, 3)).size);
    expect(order(0, 0)).toEqual(all);
    expect(order(0, 1)).not.toEqual(all);
    expect(order(1, 0)).not.toEqual(all);
  });
});

describe("options", () => {
  test.each([
    [{ epochs: 0 }, "train: epochs is an integer above 0, got 0"],
    [{ batch: 1.5 }, "batch is an integer above 0, got 1.5"],
    [{ batch: 65 }, "a batch of 65 is more than the 64 training images"],
    [{ lr: Number.NaN }, "lr is a number above 0, got NaN"],
    [{ clipping: -1 }, "clipping is a number above 0, or null, got -1"],
    [{ momentum: 1 }, "momentum is a number from 0 to below 1"],
    [{ trim: 6 }, "trim=6 leaves nothing of 12x12 images"],
    [{ augment: { ...still, rotate: -1 } }, "rotate is a number of at least 0, got -1"],
  ])("%j", (wrong, message) => {
    expect(() => planOf({ data, variant, recipe: { ...recipe, ...wrong } })).toThrow(OptionError);
    expect(() => planOf({ data, variant, recipe: { ...recipe, ...wrong } })).toThrow(message);
  });
  test("seed and variant", () => {
    expect(() => planOf({ data, seed: -1 })).toThrow(
      /seed is an integer from 0 to 2\^32 - 1, got -1/,
    );
    expect(() => planOf({ data, variant: "F9" })).toThrow(
      /variant 'F9' is unknown, expected one of demo/,
    );
    expect(planOf({ data, variant, recipe: { clipping: null } }).recipe.clipping).toBeNull();
  });
});

describe("a run", () => {
  const root = mkdtempSync(join(tmpdir(), "nfgrad-train-"));
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openTestGpu();
  });
  afterAll(async () => {
    await gpu.close();
    rmSync(root, { recursive: true });
  });
  const bitsOf = async (state: object) => new Uint8Array(await (await save(state)).arrayBuffer());

  test("learns, tells of it, and writes what predicts the same", async () => {
    const seen: Progress[] = [];
    const path = join(root, "bars.safetensors");
    const { net, test: score } = await train({
      gpu,
      data,
      variant,
      recipe: { ...recipe, epochs: 10 },
      onProgress: (p) => seen.push(p),
      onEpoch: ({ tree: t, meta }) => writeCheckpoint(path, t, meta),
    });
    expect(score).toEqual({ correct: 24, count: 24 });
    const last = seen.at(-1)!;
    expect([last.epoch, last.step, last.steps, last.secondsLeft]).toEqual([10, 40, 40, 0]);
    expect(last.test).toEqual(score);
    expect(last.loss).toBeLessThan(seen[0]!.loss);
    expect(seen.filter((p) => p.test)).toHaveLength(10);

    const loaded = await loadClassifier(gpu, await openFile(path));
    expect(await loaded.logits(data.test)).toEqual(await net.logits(data.test));
    expect(loaded.description).toEqual(net.description);
  });

  test("the same seed gives the same bits, also over a stop; another seed does not", async () => {
    const run = async (seed: number, stopAfter = 4) => {
      const states: Blob[] = [];
      await train({
        gpu,
        data,
        variant,
        recipe,
        seed,
        onEpoch: async ({ tree: t, meta }: State) => {
          states.push(await save(t, meta));
          if (states.length === stopAfter) throw new Error("stop");
        },
      }).catch((e: Error) => {
        if (e.message !== "stop") throw e;
      });
      return states;
    };
    const whole = await run(3);
    const stopped = await run(3, 2);
    let end: State | undefined;
    await train({
      gpu,
      data,
      resume: await openClassifier(stopped[1]!),
      onEpoch: (state) => {
        end = state;
      },
    });
    const bytes = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer());
    const expected = await bytes(whole[3]!);
    expect(await bytes(await save(end!.tree, end!.meta))).toEqual(expected);
    expect(await bytes(whole[2]!)).not.toEqual(expected);
    expect(await bitsOf(end!.tree)).not.toEqual(await bytes((await run(4))[3]!));
  });

  test("a loss that is no number ends the run with what to do", async () => {
    const diverging = train({
      gpu,
      data,
      variant,
      recipe: { ...recipe, lr: 1e30, clipping: null },
    });
    await expect(diverging).rejects.toThrow(NfgradError);
    await expect(diverging).rejects.toThrow(
      /loss is NaN at step \d+ of 16; the learning rate 1e\+30/,
    );
  });

  test("files that are no checkpoint of a run, or of other data", async () => {
    const w = { params: gpu.tensor([1]) };
    await expect(openClassifier(await save(w))).rejects.toThrow(FormatError);
    await expect(openClassifier(await save(w))).rejects.toThrow(/it describes no network/);
    const { description } = planOf({ data, variant, recipe });
    const partial = await save(w, { net: description });
    await expect(loadClassifier(gpu, partial)).rejects.toThrow(ShapeError);
    const resume = await openClassifier(partial);
    await expect(train({ gpu, data, resume })).rejects.toThrow(/cannot be resumed/);
    const journal = { seed: 0, epoch: 1, recipe: { ...variant.recipe, ...recipe }, data: "bars" };
    const done = await openClassifier(await save(w, { net: description, train: journal }));
    const other = { ...data, classes: 5 };
    await expect(train({ gpu, data: other, resume: done })).rejects.toThrow(
      /trained on 12x12 images of 4 classes, the data are 12x12 images of 5 classes/,
    );
    tree.dispose(w);
  });
});

describe("pictures", () => {
  const grey = (width: number, height: number, values: number[]) => {
    const data = Uint8Array.from(values.flatMap((v) => [v, v, v, 255]));
    return { width, height, data };
  };
  test("of the right size stay as they are", () => {
    const { image, inverted } = imageOf(grey(3, 2, [0, 9, 0, 0, 99, 0]), { height: 2, width: 3 });
    expect([...image.pixels]).toEqual([0, 9, 0, 0, 99, 0]);
    expect(inverted).toBe(false);
  });
  test("dark on light is inverted", () => {
    const values = [255, 255, 255, 255, 5, 255, 255, 255, 255];
    const { image, inverted } = imageOf(grey(3, 3, values), { height: 3, width: 3 });
    expect([...image.pixels]).toEqual([0, 0, 0, 0, 250, 0, 0, 0, 0]);
    expect(inverted).toBe(true);
  });
  test("larger ones are averaged over areas, others filled up with their ground", () => {
    const values = [0, 0, 100, 100, 0, 0, 100, 100];
    const { image } = imageOf(grey(4, 2, values), { height: 2, width: 2 });
    expect([...image.pixels]).toEqual([25, 75, 25, 75]); // half of each pixel is the ground of 50
  });
  test("transparent means white", () => {
    const data = new Uint8Array(16);
    const { image, inverted } = imageOf({ width: 2, height: 2, data }, { height: 2, width: 2 });
    expect([[...image.pixels], inverted]).toEqual([[0, 0, 0, 0], true]);
  });
});
