// The tuner: wrong and broken candidates are reported and never chosen, and what a table pins is what runs, bit for bit.
// No time is judged.
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  FormatError,
  type Gpu,
  OptionError,
  openGpu,
  ops,
  type Tensor,
  tuning,
  vjp,
} from "../src/index.ts";
import { choose, TILES, variantsOf } from "../src/ops/variants.ts";
import { randomData } from "./case.ts";
import { tune } from "./index.ts";

let gpu: Gpu;
let x: Tensor;
let w: Tensor;
let dy: Tensor;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software" });
  x = gpu.tensor(randomData("x", 6 * 7 * 12), [1, 6, 7, 12]);
  w = gpu.tensor(randomData("w", 3 * 3 * 6 * 16), [3, 3, 6, 16]);
  dy = gpu.tensor(randomData("dy", 3 * 4 * 16), [1, 3, 4, 16]);
});
afterAll(() => gpu.close());

const conv = (a: Tensor, b: Tensor) => ops.conv2d(a, b, { stride: 2, groups: 2 });
const gradients = (a: Tensor, b: Tensor, dc: Tensor) => {
  const { grads: dx } = vjp((t: Tensor) => conv(t, b))(a, dc);
  const { value, grads: dw } = vjp((t: Tensor) => conv(a, t))(b, dc);
  return { y: value as Tensor, dx: dx as Tensor, dw: dw as Tensor };
};
const passes = () => gradients(x, w, dy);
const text = (traced: readonly tuning.Traced[]) =>
  traced.map(({ pass, variant }) => `${pass} ${tuning.variantName(variant)} /${variant.splits}`);

const plain = tuning.plainest;
/** Compiles, and leaves out some of what it should load: 24 rows of the weight pass are not shared out evenly. */
const wrong = { ...plain, core: "tile", wx: 8, wy: 4, rows: 6, depth: 8 } as const;
const broken = { ...plain, core: "tile", wx: 8, wy: 4, rows: 4, depth: 0 } as const;
const other = { ...plain, quads: 2 };

test("a trace names each product once, with what it runs on", () => {
  const traced = tuning.trace(gpu, passes);
  expect(traced.map(({ pass }) => pass).sort()).toEqual(["data", "forward", "weight"]);
  expect(traced.map(tuning.productName).find((name) => name.startsWith("weight"))).toBe(
    "weight 6x7x6>3x4x8 3x3 s2x2 d1x1 p0x1 g2 x12+6 y16+8 w16+8",
  );
  for (const product of traced) expect(tuning.candidates(gpu, product)[0]).toEqual(product.variant);
});

test("wrong and broken candidates are reported, and never chosen", async () => {
  const [product] = tuning.trace(gpu, passes).filter(({ pass }) => pass === "weight");
  const live = gpu.memory().live;
  const { table, products } = await tune(gpu, [product!], {
    quick: true,
    margin: 0,
    candidates: () => [wrong, broken, plain, other],
  });
  const [tuned] = products;
  expect(tuned!.tried.map(({ failed }) => failed)).toEqual([
    expect.stringMatching(/^wrong values: .* times the error allowed$/),
    expect.stringMatching(/array count|division by zero|assertion failed/),
    undefined,
    undefined,
  ]);
  expect(tuned!.default.variant).toBe(tuning.variantName(wrong));
  expect([plain, other].map(tuning.variantName)).toContain(tuned!.chosen!.variant);
  expect(table.products.map(({ variant }) => variant)).toEqual([tuned!.chosen!.variant]);
  expect(gpu.memory().live).toBe(live);
});

test("every tile of the GPUs' rule computes all passes right: odd channels, groups, strides", async () => {
  const inputs = [
    gpu.tensor(randomData("odd x", 2 * 7 * 9 * 12), [2, 7, 9, 12]),
    gpu.tensor(randomData("odd w", 3 * 3 * 6 * 20), [3, 3, 6, 20]),
    gpu.tensor(randomData("odd dy", 2 * 4 * 5 * 20), [2, 4, 5, 20]),
  ] as const;
  const products = tuning.trace(gpu, () => gradients(...inputs));
  expect(products.map(({ pass }) => pass).sort()).toEqual(["data", "forward", "weight"]);
  const tiles = [tuning.plainest, ...TILES];
  const candidates = ({ pass }: tuning.Product) =>
    tiles.map((v) => ({ ...v, splits: pass === "weight" ? 2 : 1 }));
  const found = await tune(gpu, products, { quick: true, candidates });
  for (const { tried } of found.products) {
    expect(tried.map(({ failed }) => failed)).toEqual(tiles.map(() => undefined));
    expect(Math.max(...tried.map(({ error }) => error))).toBeGreaterThan(0);
  }
}, 240_000);

test("where nothing is right nothing is chosen, and an alien variant is not either", async () => {
  const [product] = tuning.trace(gpu, passes).filter(({ pass }) => pass === "weight");
  const tiny = { ...plain, core: "tile", wx: 8, wy: 4, rows: 4, depth: 8 } as const;
  const { table, products } = await tune(gpu, [product!], {
    quick: true,
    candidates: () => [wrong, tiny],
  });
  expect(products[0]!.tried[1]).toMatchObject({ variant: "tile 16x32x8 8x4", splits: 1 });
  expect(products[0]!.tried[1]!.failed).toBeUndefined();
  expect(products[0]!.chosen).toBeNull();
  expect(table.products).toEqual([]);
  await expect(tune(gpu, [], { margin: -1 })).rejects.toThrow(OptionError);
});

test("what a table pins is what runs: the same bits in two runs, and on another gpu", async () => {
  const traced = tuning.trace(gpu, passes);
  const usual = text(traced);
  const choices = traced.map((p) => ({
    ...p,
    variant: { ...other, splits: p.pass === "weight" ? 3 : 1 },
  }));
  const json = JSON.stringify(tuning.table(gpu, choices));
  const pinned = traced.map(
    ({ pass }) => `${pass} registers 4x8x4 32x1 /${pass === "weight" ? 3 : 1}`,
  );
  expect(usual).not.toEqual(pinned);

  tuning.pin(gpu, JSON.parse(json));
  expect(text(tuning.trace(gpu, passes))).toEqual(pinned);
  const names = gpu.kernels(() => void passes()).flatMap(({ variant }) => variant ?? []);
  expect(new Set(names)).toEqual(new Set(["registers 4x8x4 32x1"]));
  const read = async (on: Gpu, run: () => ReturnType<typeof passes>) =>
    Object.values(await on.read(on.scope(run))).map(({ data }) => [...data]);
  const first = await read(gpu, passes);
  expect(await read(gpu, passes)).toEqual(first);

  const second = await openGpu({ adapter: "software" });
  try {
    tuning.pin(second, JSON.parse(json));
    const [x2, w2, dy2] = await Promise.all(
      [x, w, dy].map(async (t) =>
        second.tensor((await t.data()) as Float32Array<ArrayBuffer>, t.shape),
      ),
    );
    const again = () => gradients(x2!, w2!, dy2!);
    expect(await read(second, again)).toEqual(first);
  } finally {
    await second.close();
  }
  tuning.pin(gpu, null);
  expect(text(tuning.trace(gpu, passes))).toEqual(usual);
});

test("a line holds for batches near its own, the nearest counts", () => {
  const product = (batch: number) => {
    const [p] = tuning.trace(gpu, () => conv(gpu.zeros([batch, 6, 7, 12]), w));
    return p!;
  };
  const [two, eight] = [product(2), product(8)];
  const choices = [
    { ...two, variant: { ...plain, rows: 8 } },
    { ...eight, variant: other },
  ];
  tuning.pin(gpu, tuning.table(gpu, choices));
  const names = [1, 2, 3, 4, 5, 32, 33].map((n) => tuning.variantName(product(n).variant));
  tuning.pin(gpu, null);
  const usual = tuning.variantName(product(33).variant);
  const [small, large] = ["registers 8x4x4 32x1", "registers 4x8x4 32x1"];
  expect(names).toEqual([small, small, small, small, large, large, usual]);
});

test("images are pinned only as far as images can be", () => {
  const drawn = variantsOf(gpu.info).find(({ images }) => images)!;
  const [traced] = tuning.trace(gpu, () => conv(gpu.zeros([1, 6, 7, 12]), w));
  const { geometry, pass } = traced!;
  const large = { ...geometry, h: 4000, w: 4000, oh: 2000, ow: 2000 };
  const on = (g: tuning.Geometry, batch: number) =>
    tuning.variantName(choose(gpu.info, { ...g, batch }, pass));
  const before = on(large, 4);
  tuning.pin(
    gpu,
    tuning.table(
      gpu,
      [geometry, large].map((g) => ({ pass, geometry: g, variant: drawn })),
    ),
  );
  const after = [on(geometry, 4), on(large, 4)];
  tuning.pin(gpu, null);
  expect(after).toEqual([tuning.variantName(drawn), before]);
  expect(before).not.toBe(tuning.variantName(drawn));
});

test("a table for another adapter, or with variants that this one has not, is refused", () => {
  const traced = tuning.trace(gpu, passes);
  const before = text(traced);
  const table = tuning.table(gpu, [{ ...traced[0]!, variant: other }]);
  const refused = (changed: unknown, message: RegExp) => {
    expect(() => tuning.pin(gpu, changed)).toThrow(FormatError);
    expect(() => tuning.pin(gpu, changed)).toThrow(message);
  };
  const on = (adapter: object) => ({ ...table, adapter: { ...table.adapter, ...adapter } });
  refused(on({ vendor: "acme" }), /for vendor "acme", this adapter's is "/);
  refused(on({ architecture: "z9" }), /for architecture "z9"/);
  refused(on({ kind: "hardware" }), /for kind "hardware"/);
  refused(on({ subgroups: { min: 32, max: 64 } }), /for subgroups of 32 to 64/);
  expect(tuning.matches(gpu, on({ vendor: "acme" }) as tuning.Table)).toBe(false);
  expect(tuning.matches(gpu, on({ description: "another driver" }) as tuning.Table)).toBe(true);
  const line = { ...table.products[0]!, variant: "tile 128x128x16 16x16 prefetch" };
  refused({ ...table, products: [line] }, /no variant 'tile 128x128x16 16x16 prefetch'/);
  expect(text(tuning.trace(gpu, passes))).toEqual(before); // nothing was pinned
});
