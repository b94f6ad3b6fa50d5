// `nfgrad classify` from end to end: a network trained here, written under Haiku's names, says what is in pictures; which
// network a file holds; what ImageNet's way to prepare a picture gives; and what is refused.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { read } from "../../src/cli/args.ts";
import { classify } from "../../src/cli/classify.ts";
import { FormatError, type Gpu, io, nn, OptionError } from "../../src/index.ts";
import type { Dataset, Images } from "../../src/io/datasets.ts";
import { imagenetClasses } from "../../src/io/imagenet.ts";
import {
  type Classifier,
  loadPretrained,
  openPretrained,
  train,
  variantInName,
} from "../../src/train/index.ts";
import { adapter, openTestGpu } from "../gpu.ts";

const SIDE = 28;

/** Bars of four directions, light on dark. */
function bars(count: number): Images {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 4);
  const pixels = Uint8Array.from({ length: count * SIDE * SIDE }, (_, at) => {
    const n = Math.floor(at / SIDE ** 2);
    const [y, x] = [Math.floor(at / SIDE) % SIDE, at % SIDE];
    const across = [x - 14, y - 14, x - y, x + y - 27][n % 4]! + ((n >> 2) % 5) - 2;
    return Math.abs(across) < 3 ? 230 : 10;
  });
  return { count, height: SIDE, width: SIDE, channels: 1, pixels, labels };
}
const data: Dataset = { name: "bars", classes: 4, train: bars(64), test: bars(20) };

const folder = mkdtempSync(join(tmpdir(), "nfgrad-classify-"));
const place = (name: string) => join(folder, name);
let gpu: Gpu;
let net: Classifier;

/** A bar as a picture, dark on light. */
async function picture(label: number): Promise<string> {
  const file = place(`bar${label}.png`);
  const grey = data.test.pixels.slice(label * SIDE ** 2, (label + 1) * SIDE ** 2);
  const raw = { width: SIDE, height: SIDE, channels: 1 } as const;
  await sharp(
    grey.map((p) => 255 - p),
    { raw },
  )
    .png()
    .toFile(file);
  return file;
}

beforeAll(async () => {
  gpu = await openTestGpu();
  const still = { shift: 0, rotate: 0, zoom: 0, shear: 0 };
  ({ net } = await train({
    gpu,
    data,
    variant: "demo",
    recipe: { epochs: 5, batch: 16, lr: 0.05, augment: still },
    onEpoch: ({ tree, meta }) => io.writeCheckpoint(place("bars.safetensors"), tree, meta),
  }));
  const { model, params, description } = net;
  await io.writeHaiku(place("bars.npz"), params, model, { meta: { net: description } });
  await io.writeHaiku(place("plain.npz"), params, model);
}, 60_000);
afterAll(async () => {
  await gpu.close();
  rmSync(folder, { recursive: true });
});

/** What the command prints; its errors are the test's. */
async function run(...args: string[]) {
  const [out, err] = [[] as string[], [] as string[]];
  const spies = [
    vi.spyOn(console, "log").mockImplementation((line: string) => void out.push(line)),
    vi.spyOn(console, "error").mockImplementation((line: string) => void err.push(line)),
  ];
  try {
    const { values, operands } = read(classify, [...args, "--adapter", adapter]);
    await classify.run(values, operands);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return { out: out.join("\n"), err: err.join("\n") };
}

describe("a network of our own", () => {
  test.each(["bars.npz", "bars.safetensors"])("%s says which bars it sees", async (weights) => {
    const files = await Promise.all([0, 1, 2, 3].map(picture));
    const { out } = await run(...files, "--weights", place(weights), "--topk", "2");
    expect(out).toMatch(/^adapter: .*\nnetwork: NFNet-demo, .* images of 24x24, 4 classes\n/);
    const found = [
      ...out.matchAll(/bar(\d)\.png {2}\[dark on light: inverted\]\nclass: (\d)\.\n/g),
    ];
    expect(found.map(([, file, seen]) => [file, seen])).toEqual(
      [0, 1, 2, 3].map((n) => [`${n}`, `${n}`]),
    );
    const shown = [...out.matchAll(/^ +(\d+\.\d) % {2}\d$/gm)].map(([, p]) => Number(p));
    expect(shown).toHaveLength(8);
    for (let i = 0; i < 8; i += 2) expect(shown[i]).toBeGreaterThanOrEqual(shown[i + 1]!);
  });

  test("--json is the only thing on standard output", async () => {
    const file = await picture(2);
    const { out, err } = await run(file, "--weights", place("bars.npz"), "--json");
    expect(err).toMatch(/^adapter: .*\nnetwork: NFNet-demo/);
    const found = JSON.parse(out);
    expect(found).toMatchObject({ variant: "demo", height: 24, width: 24, classes: 4 });
    const [{ top, ...image }] = found.images;
    expect(image).toEqual({ file, class: 2, name: "2" });
    expect(top.map((t: { class: number }) => t.class).sort()).toEqual([0, 1, 2, 3]);
    const sum = top.reduce((all: number, t: { probability: number }) => all + t.probability, 0);
    expect(sum).toBeCloseTo(1, 6);
  });
});

describe("a network of others", () => {
  test("is told by its parameters, and sees pictures as the reference's demo prepares them", async () => {
    const found = await openPretrained(await io.openFile(place("plain.npz")));
    expect(found).toMatchObject({ variant: "demo", classes: 4, size: { height: 24, width: 24 } });
    expect(found.description).toBeNull();
    const steps: [number, number][] = [];
    const looker = await loadPretrained(gpu, found, (...step) => void steps.push(step));
    expect(steps.at(-1)).toEqual([found.parameters, found.parameters]);
    const compiled: [number, number][] = [];
    await looker.compile((...step) => void compiled.push(step));
    expect(compiled.at(-1)![0]).toBe(compiled.at(-1)![1]);
    const { pipelines } = gpu.counts();

    const { pixels } = bars(1);
    const rgba = Uint8Array.from({ length: 4 * SIDE ** 2 }, (_, i) =>
      i % 4 === 3 ? 255 : (pixels[i >> 2]! + 40 * (i % 4)) % 256,
    );
    const { logits } = await looker.look({ width: SIDE, height: SIDE, data: rgba });
    expect(gpu.counts().pipelines).toBe(pipelines);
    const rgb = rgba.filter((_, i) => i % 4 !== 3);
    const x = io.demoImage({ width: SIDE, height: SIDE, data: rgb }, 24);
    const own = await net
      .model(net.params, gpu.tensor(x.data, [1, ...x.shape]), { train: false })
      .data();
    expect([...logits]).toEqual([...own]);
    const { live } = gpu.memory();
    looker.dispose();
    expect(gpu.memory().live).toBeLessThan(live);
  });

  test("ImageNet's names where there are 1,000 classes", async () => {
    const model = nn.nfnet({
      stochdepthRate: 0,
      variant: net.description.sizes,
      numClasses: 1000,
    });
    await io.writeHaiku(place("many.npz"), gpu.init(model.spec, { seed: 3 }), model);
    const { out } = await run(
      await picture(1),
      "--weights",
      place("many.npz"),
      "--variant",
      "demo",
    );
    const [, best] = /\nImageNet class: (.*)\.\n/.exec(out)!;
    const top = [...out.matchAll(/^ +\d+\.\d % {2}(.*)$/gm)].map(([, name]) => name!);
    expect(top).toHaveLength(5);
    expect(top[0]).toBe(best);
    for (const name of top) expect(imagenetClasses).toContain(name);
  });
});

test.each([
  ["F0_haiku.npz", "F0"],
  ["/a/f6/F3+_haiku.npz", "F3+"],
  ["nets\\nfnet-f7.safetensors", "F7"],
  ["F8_haiku.npz", null],
  ["F10.npz", null],
  ["leaf0.npz", null],
  ["weights.npz", null],
])("the variant in %s", (file, variant) => {
  expect(variantInName(file)).toBe(variant);
});

test("the names of ImageNet's classes", () => {
  expect(imagenetClasses).toHaveLength(1000);
  expect(imagenetClasses[0]).toBe("tench, Tinca tinca");
  expect(imagenetClasses[134]).toBe("crane");
  expect(imagenetClasses[999]).toBe("toilet tissue, toilet paper, bathroom tissue");
  for (const name of imagenetClasses) expect(name).toMatch(/^\S(.*\S)?$/);
  expect(imagenetClasses.every((name) => !/\s{2}|\n/.test(name))).toBe(true);
});

describe("what is refused", () => {
  const fails = async (args: string[], type: typeof FormatError, message: RegExp) => {
    const error = await run(...args).then(
      () => null,
      (e: Error) => e,
    );
    expect(error).toBeInstanceOf(type);
    expect(error!.message).toMatch(message);
    expect(error!.message).not.toContain("\n");
  };

  test("options, and files that do not exist", async () => {
    const weights = ["--weights", place("bars.npz")];
    const file = await picture(0);
    await fails([...weights], OptionError, /expects at least one IMAGE/);
    await fails(
      [file, ...weights, "--topk", "5"],
      OptionError,
      /--topk 5: the network has 4 classes/,
    );
    await fails([file, place("none.png"), ...weights], FormatError, /none\.png: no such file/);
    await fails([file, "--weights", place("none.npz")], FormatError, /none\.npz: no such file/);
  });

  test("files that are no pictures, or no weights", async () => {
    const weights = ["--weights", place("bars.npz")];
    const file = await picture(0);
    const cut = place("cut.png");
    writeFileSync(cut, readFileSync(file).subarray(0, -20));
    await fails([cut, ...weights], FormatError, /cut\.png: broken or truncated PNG/);
    await fails(
      [place("bars.npz"), ...weights],
      FormatError,
      /expected a JPEG, PNG or WebP picture/,
    );
    await fails([file, "--weights", file], FormatError, /bar0\.png: haiku: expected a pickle/);
    writeFileSync(place("cut.npz"), readFileSync(place("bars.npz")).subarray(0, -40));
    await fails([file, "--weights", place("cut.npz")], FormatError, /cut\.npz: /);
  });

  test("weights of another network", async () => {
    const file = await picture(0);
    const plain = place("plain.npz");
    await fails(
      [file, "--weights", plain, "--variant", "F0"],
      FormatError,
      /of F0, it has those of demo/,
    );
    const named = place("F2_haiku.npz");
    copyFileSync(plain, named);
    await fails([file, "--weights", named], FormatError, /of F2, it has those of demo/);
    const checkpoint = ["--weights", place("bars.safetensors")];
    await fails(
      [file, ...checkpoint, "--variant", "deep"],
      FormatError,
      /expected a deep, it is a demo/,
    );
    const sizes = { ...net.description.sizes, width: [64, 64] };
    const model = nn.nfnet({ variant: sizes, numClasses: 4, stochdepthRate: 0 });
    await io.writeHaiku(place("odd.npz"), gpu.init(model.spec, { zeros: true }), model);
    await fails([file, "--weights", place("odd.npz")], FormatError, /no known variant/);
    await fails(
      [file, "--weights", place("odd.npz"), "--variant", "demo"],
      FormatError,
      /\[.*\] in the model/,
    );
  });

  test("outputs that are not finite", async () => {
    const model = net.model;
    const params = gpu.init(model.spec, { zeros: true });
    await gpu.assign(params.linear, {
      w: {
        data: new Float32Array(model.spec.linear.w.shape.reduce((a, b) => a * b)).fill(0),
        shape: model.spec.linear.w.shape,
      },
      b: { data: new Float32Array(4).fill(Number.NaN), shape: [4] },
    });
    await io.writeHaiku(place("nan.npz"), params, model);
    const error = run(await picture(0), "--weights", place("nan.npz"));
    await expect(error).rejects.toThrow(/outputs are not finite/);
  });
});
