// The choice of variants by adapter class, limits and sizes; the tables that stand in its place, damaged in every way; and
// that all that can be chosen compiles within the default limits. That values are right is in cases/conv2d.ts.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FormatError, type Gpu, ops, tuning } from "../src/index.ts";
import { candidatesOf } from "../src/ops/candidates.ts";
import { plan } from "../src/ops/gemm.ts";
import {
  type Adapter,
  classOf,
  type Geometry,
  nameOf,
  type Pass,
  PLAINEST,
  sharedBytes,
  sizesOf,
  tileOf,
  usual,
  type Variant,
  variantsOf,
} from "../src/ops/variants.ts";
import { requestAdapter } from "../src/platform/node/index.ts";
import { cases } from "./cases/conv2d.ts";
import { adapter as kind, openTestGpu } from "./gpu.ts";

const PASSES = ["forward", "data", "weight"] as const;
const limits = { maxComputeWorkgroupStorageSize: 32768, maxComputeInvocationsPerWorkgroup: 1024 };
/** The specification's defaults, which every adapter has. */
const least = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };
const gpuOf = (vendor: string, given: Partial<Adapter> = {}): Adapter => ({
  ...{ kind: "hardware", vendor, architecture: "", subgroups: null, limits, images: true },
  ...given,
});
const software = (size: number | null, images = true): Adapter =>
  gpuOf("mesa", {
    kind: "software",
    subgroups: size === null ? null : { min: size, max: size },
    images,
  });

/** A convolution with SAME padding. */
function conv(size: number, ci: number, co: number, kernel = 3, stride = 1, groups = 1, batch = 1) {
  const out = Math.ceil(size / stride);
  const pad = Math.max((out - 1) * stride + kernel - size, 0) >> 1;
  const g: Geometry = {
    ...{ batch, h: size, w: size, oh: out, ow: out, slices: groups, ci, co },
    ...{ kernel: [kernel, kernel], stride: [stride, stride], dilation: [1, 1], pad: [pad, pad] },
    ...{ xPixel: ci * groups, yPixel: co * groups, wRow: co * groups },
    ...{ xSlice: ci, ySlice: co, wSlice: co },
  };
  return g;
}
const geometries = [1, 3, 7, 24, 96].flatMap((size) =>
  [1, 3, 16, 128, 1000].flatMap((ci) =>
    [1, 5, 64, 1536].flatMap((co) => [
      conv(size, ci, co),
      conv(size, ci, co, 1, 2),
      conv(size, ci, co, 3, 2, 2, 8),
    ]),
  ),
);
const adapters = [
  ...["nvidia", "amd", "intel", "apple", "arm", "qualcomm", "acme"].map((v) => gpuOf(v)),
  gpuOf("nvidia", { limits: least }),
  ...[software(8), software(4), software(8, false), software(16), software(null)],
];

describe("by default", () => {
  test("each vendor has its class, with 4x4 elements a thread on phones and where nothing is known", () => {
    const names = ["nvidia", "amd", "apple", "intel", "arm", "qualcomm", "img-tec", "", "acme"];
    expect(names.map((v) => classOf(gpuOf(v)).name)).toEqual([
      ...["nvidia", "amd", "apple", "intel", "mobile", "mobile", "mobile", "unknown", "unknown"],
    ]);
    for (const vendor of ["arm", "qualcomm", "acme"])
      for (const v of variantsOf(gpuOf(vendor)))
        if (v.core === "tile") expect([v.rows, v.quads]).toEqual([4, 1]);
  });

  test("the core is the adapter's", () => {
    const g = conv(24, 128, 128);
    const core = (a: Adapter) => [...new Set(PASSES.map((pass) => usual(a, g, pass).core))];
    expect(core(gpuOf("nvidia"))).toEqual(["tile"]);
    for (const size of [4, 8]) {
      expect(core(software(size))).toEqual(["lanes"]);
      expect(usual(software(size), g, "forward").lanes).toBe(size);
    }
    for (const size of [16, null]) expect(core(software(size))).toEqual(["registers"]);
    const changing = gpuOf("mesa", { kind: "software", subgroups: { min: 4, max: 8 } });
    expect(core(changing)).toEqual(["registers"]);
  });

  test("tiles shrink with the product, and with the limits", () => {
    const name = (a: Adapter, g: Geometry, pass: Pass = "forward") => nameOf(usual(a, g, pass));
    const nvidia = gpuOf("nvidia");
    expect(name(nvidia, conv(96, 128, 1024))).toBe("tile 128x128x16 16x16 prefetch");
    expect(name(nvidia, conv(24, 128, 1024))).toBe("tile 64x64x16 16x16 prefetch");
    expect(name(nvidia, conv(6, 128, 256))).toBe("tile 32x32x16 8x8 prefetch");
    expect(name(gpuOf("arm"), conv(96, 128, 1024))).toBe("tile 64x64x16 16x16 prefetch");
    const tiny = { maxComputeWorkgroupStorageSize: 1024, maxComputeInvocationsPerWorkgroup: 64 };
    const poor = gpuOf("nvidia", { limits: tiny });
    expect(name(poor, conv(96, 128, 1024))).toBe("registers 4x4x4 32x1");
  });

  test("what is chosen is one of the adapter's variants, within its limits, and one of those that are tuned", () => {
    for (const adapter of adapters) {
      const all = variantsOf(adapter);
      const text = (v: Variant) => JSON.stringify({ ...PLAINEST, ...v, splits: 1 });
      const named = new Map(all.map((v) => [nameOf(v), text(v)]));
      expect(named.size).toBe(all.length);
      const check = (v: Variant) => {
        if (named.get(nameOf(v)) !== text(v))
          expect.fail(`${adapter.vendor}: ${nameOf(v)} is none of its variants`);
      };
      const { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: threads } =
        adapter.limits;
      for (const v of all) {
        expect(sharedBytes(v)).toBeLessThanOrEqual(bytes!);
        expect(tileOf(v).threads).toBeLessThanOrEqual(threads!);
      }
      for (const g of geometries)
        for (const pass of PASSES) {
          const tried = candidatesOf(adapter, g, pass);
          expect(tried[0]).toEqual(usual(adapter, g, pass));
          expect(new Set(tried.map((v) => `${nameOf(v)} ${v.splits}`)).size).toBe(tried.length);
          for (const v of tried) {
            check(v);
            if (v.splits === 1) continue;
            expect(pass).toBe("weight");
            expect(32 * v.splits).toBeLessThanOrEqual(sizesOf(g, pass).k);
          }
        }
    }
  });
});

describe("on a device with the default limits and no features", () => {
  let device: GPUDevice;
  let gpu: Gpu;
  beforeAll(async () => {
    device = await (await requestAdapter(kind))!.requestDevice();
    gpu = await openTestGpu({ device });
  });
  afterAll(async () => {
    await gpu.close();
    device.destroy();
  });

  test("a software adapter without subgroups gets the registers core, and right values", async () => {
    expect(gpu.info.subgroups).toBeNull();
    const made = cases.filter(({ name }) => /^conv2d \[2,(6,7,8|9,7,6)\]/.test(name));
    expect(made.length).toBe(2);
    const ran = new Set<string>();
    const before = tuning.trace(gpu, () =>
      ops.conv2d(gpu.zeros([1, 8, 8, 64]), gpu.zeros([3, 3, 64, 64])),
    );
    for (const { variant } of before) ran.add(variant.core);
    expect([...ran]).toEqual([gpu.info.kind === "software" ? "registers" : "tile"]);
    for (const c of made) await c.run(gpu);
  });

  test("every variant of every GPU class compiles, and takes the workgroup memory that is counted", async () => {
    const faults: string[] = [];
    const { limits } = gpu.info;
    const g = conv(7, 6, 10, 3, 2, 2);
    for (const pass of PASSES)
      for (const v of variantsOf(gpuOf("nvidia", { limits }))) {
        const { kernel } = plan(g, pass, v, false, 0);
        device.pushErrorScope("validation");
        const module = device.createShaderModule({ code: kernel.code });
        device.createComputePipeline({
          layout: "auto",
          compute: { module, entryPoint: kernel.entry, constants: kernel.constants },
        });
        const error = await device.popErrorScope();
        if (error) faults.push(`${pass} ${nameOf(v)}: ${error.message}`);
        expect(sharedBytes(v)).toBe(declaredBytes(kernel.code));
      }
    expect(faults).toEqual([]);
  }, 60_000);
});

/** Bytes of `array<vec4f, ...>` in workgroup memory, by evaluating a text's constants. */
function declaredBytes(code: string): number {
  const js = (text: string) => text.replace(/\b(\d+)u\b/g, "$1");
  const select = (no: unknown, yes: unknown, which: boolean) => (which ? yes : no);
  const known: Record<string, unknown> = { select };
  const value = (expression: string) =>
    new Function(...Object.keys(known), `return ${js(expression)}`)(...Object.values(known));
  const lines = [...code.matchAll(/^const (\w+)\s*:\s*(?:u32|bool)\s*=\s*([^;]+);/gm)];
  for (
    let i = 0;
    i < lines.length;
    i++ // declarations may stand in any order
  )
    for (const [, name, expression] of lines)
      try {
        known[name!] = value(expression!);
      } catch {}
  const arrays = [...code.matchAll(/^var<workgroup> \w+: array<vec4f, (.+)>;/gm)];
  return arrays.reduce((sum, [, length]) => sum + 16 * (value(length!) as number), 0);
}

describe("a table", () => {
  const product = "forward 6x7x6>3x4x8 3x3 s2x2 d1x1 p0x1 g2 x12+6 y16+8 w16+8";
  const line = { product, batch: 1, variant: "registers 4x4x4 32x1", splits: 1 };
  const good = {
    ...{ format: "nfgrad tuning", version: 1 },
    adapter: {
      ...{ kind: "software", vendor: "mesa", architecture: "", device: "", description: "" },
      subgroups: { min: 8, max: 8 },
    },
    products: [line],
  };
  test("is read as it was written", () => {
    expect(tuning.parse(JSON.parse(JSON.stringify(good)))).toEqual(good);
    const bare = { ...good, adapter: { ...good.adapter, subgroups: null }, products: [] };
    expect(tuning.parse(bare)).toEqual(bare);
  });

  const withLine = (changed: object) => ({ ...good, products: [{ ...line, ...changed }] });
  const withAdapter = (changed: object) => ({ ...good, adapter: { ...good.adapter, ...changed } });
  test.each([
    ["nothing", null, /expected a tuning table, got null/],
    ["a list", [good], /expected a tuning table, got \[/],
    ["another format", { ...good, format: "x" }, /expected the format "nfgrad tuning", got "x"/],
    ["another version", { ...good, version: 2 }, /expected version 1, got 2/],
    [
      "an unknown field",
      { ...good, more: 1 },
      /with the fields format, version, adapter, products/,
    ],
    [
      "a missing field",
      { format: good.format, version: 1, products: [] },
      /with the fields format/,
    ],
    [
      "products that are none",
      { ...good, products: {} },
      /expected a list of up to 100000 products/,
    ],
    ["a kind", withAdapter({ kind: "quantum" }), /expected a kind of adapter, got "quantum"/],
    ["a vendor", withAdapter({ vendor: 3 }), /expected the adapter's vendor, got 3/],
    [
      "subgroups",
      withAdapter({ subgroups: { min: 0, max: 8 } }),
      /a subgroup's size from 1 to 1024, got 0/,
    ],
    ["an adapter's field", withAdapter({ price: 3 }), /expected an adapter with the fields kind/],
    ["a line", { ...good, products: ["x"] }, /expected a product, got "x"/],
    [
      "a line's field",
      withLine({ code: "x" }),
      /expected a product with the fields product, batch/,
    ],
    [
      "a product's name",
      withLine({ product: "forward; x" }),
      /expected a product's name, got "forward; x"/,
    ],
    [
      "a pass",
      withLine({ product: product.replace("forward", "sideways") }),
      /expected a product's name/,
    ],
    ["a batch", withLine({ batch: 0 }), /expected a batch from 1 to 2147483648, got 0/],
    ["half a batch", withLine({ batch: 1.5 }), /expected a batch/],
    [
      "splits of another pass",
      withLine({ splits: 2 }),
      /expected splits of 'forward .*' from 1 to 1, got 2/,
    ],
    [
      "too many splits",
      withLine({ product: product.replace("forward", "weight"), splits: 65 }),
      /from 1 to 64, got 65/,
    ],
    ["a variant", withLine({ variant: 7 }), /expected a variant's name, got 7/],
    ["a product twice", { ...good, products: [line, line] }, /expected each product once/],
  ])("with %s that is wrong is refused", (_, damaged, message) => {
    expect(() => tuning.parse(damaged)).toThrow(FormatError);
    expect(() => tuning.parse(damaged)).toThrow(message);
  });
});
