// Which core, tile and splits run a pass of shaders/conv2d.wgsl: what there is, what an adapter can run, what it runs by
// default. Knows adapters and sizes; dispatches nothing (gemm.ts), reads no files (tuning.ts), times nothing (bench/tune.ts).
import type { AdapterInfo } from "../gpu/device.ts";

export type Pass = "forward" | "data" | "weight";
export type Core = "lanes" | "tile" | "registers";
type Pair = readonly [number, number];

/** A convolution, or a product as a 1x1 convolution of `batch = w = 1`, `h = rows`. Sizes in elements. */
export interface Geometry {
  readonly batch: number;
  readonly h: number;
  readonly w: number;
  readonly oh: number;
  readonly ow: number;
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  /** Padding above and to the left; the rest follows from the output's size. */
  readonly pad: Pair;
  /** Groups, or the products of a batch; channels are those of one. */
  readonly slices: number;
  readonly ci: number;
  readonly co: number;
  /** From one pixel (or row of w) to the next. */
  readonly xPixel: number;
  readonly yPixel: number;
  readonly wRow: number;
  /** From one slice to the next; 0 where all slices share an operand. */
  readonly xSlice: number;
  readonly ySlice: number;
  readonly wSlice: number;
}

/** What the choice looks at, of an adapter. */
export type Adapter = Pick<
  AdapterInfo,
  "kind" | "vendor" | "architecture" | "subgroups" | "limits" | "images"
>;

/** A core and its knobs; what they mean is said in each core's text. */
export interface Variant {
  readonly core: Core;
  readonly lanes: number;
  readonly wx: number;
  readonly wy: number;
  readonly rows: number;
  readonly quads: number;
  readonly depth: number;
  readonly prefetch: boolean;
  /** Operands are read from images (src/gpu/images.ts) where their channels are whole quads. */
  readonly images: boolean;
  /** Parts that the weight pass cuts its pixels into; 1 in the others. */
  readonly splits: number;
}

export const up = (n: number, by: number): number => Math.ceil(n / by);
export const gcd = (a: number, b: number): number => (b ? gcd(b, a % b) : a);
const product = ([a, b]: Pair): number => a * b;

/** Rows, columns and depth of one slice's product, and how many there are (DATA: one a stride class). */
export function sizesOf(g: Geometry, pass: Pass) {
  const taps = product(g.kernel);
  const pixels = g.batch * g.oh * g.ow;
  if (pass === "forward") return { m: pixels, n: g.co, k: taps * g.ci, parts: 1 };
  if (pass === "weight") return { m: taps * up(g.ci, 4) * 4, n: g.co, k: pixels, parts: 1 };
  const m = g.batch * up(g.h, g.stride[0]) * up(g.w, g.stride[1]);
  return { m, n: g.ci, k: taps * g.co, parts: product(g.stride) };
}

/** Rows and columns of C that a workgroup (registers: a thread) makes, and threads of a workgroup. */
export function tileOf({ core, lanes, wx, wy, rows, quads }: Variant) {
  if (core === "lanes")
    return { m: lanes * rows * wy, n: 4 * lanes * wx, threads: lanes * wx * wy };
  if (core === "tile") return { m: wy * rows, n: 4 * quads * wx, threads: wx * wy };
  return { m: rows, n: 4 * quads, threads: wx * wy };
}

/** `tile 128x128x16 16x16 prefetch`: core, rows x columns x depth, threads. Splits are no part of it. */
export function nameOf(variant: Variant): string {
  const { m, n } = tileOf(variant);
  const { core, wx, wy, depth, prefetch, images } = variant;
  return `${core} ${m}x${n}x${depth} ${wx}x${wy}${prefetch ? " prefetch" : ""}${images ? " images" : ""}`;
}

/** Bytes of workgroup memory: the two tiles of lib/gemm_tile.wgsl. */
export function sharedBytes(variant: Variant): number {
  if (variant.core !== "tile") return 0;
  const { m, n } = tileOf(variant);
  return 4 * (m + n) * variant.depth;
}

const BASE = {
  ...{ lanes: 8, wx: 32, wy: 1, quads: 1, depth: 4, splits: 1 },
  ...{ prefetch: false, images: false },
} as const;
const tile = (wx: number, wy: number, rows: number, quads: number, depth = 16): Variant => ({
  ...{ ...BASE, core: "tile", prefetch: true },
  ...{ wx, wy, rows, quads, depth },
});
const lanesVariant = (lanes: number, wx: number, wy: number, rows: number): Variant => ({
  ...{ ...BASE, core: "lanes" },
  ...{ lanes, wx, wy, rows },
});
const registers = (rows: number, quads: number): Variant => ({
  ...{ ...BASE, core: "registers" },
  ...{ rows, quads },
});

/** An adapter class: what its products run on where no table says otherwise, and what else a tuner tries. */
interface Class {
  readonly name: string;
  readonly core: Core;
  /** Tiles that the default rule takes, largest first. */
  readonly tiles: readonly Variant[];
  readonly others: readonly Variant[];
  /** Workgroups that keep the adapter busy; below it smaller tiles are worth their loads. */
  readonly busy: number;
}
/** The tiles for GPUs, largest first; tools/shader-stats compiles these. */
export const TILES = [tile(16, 16, 8, 2), tile(16, 16, 4, 1), tile(8, 8, 4, 1)] as const;
/** 4x4 elements a thread: nowhere too many registers. */
const SMALL = [tile(16, 8, 4, 1), tile(8, 16, 4, 1), tile(16, 16, 4, 1, 32), tile(8, 8, 4, 1, 32)];
/** 8x4 and 8x8 a thread. */
const LARGE = [
  ...[tile(16, 8, 8, 1), tile(16, 8, 8, 2), tile(8, 16, 8, 2), tile(8, 8, 8, 2)],
  tile(16, 16, 8, 2, 8),
];
const gpu = (name: string, busy: number, large: boolean): Class => ({
  ...{ name, core: "tile", busy },
  tiles: large ? TILES : TILES.slice(1),
  others: large ? [...LARGE, ...SMALL] : SMALL,
});
/** By `vendor` of GPUAdapterInfo; Mali and Adreno spill with 8x8 elements a thread, of others nothing is known. */
const VENDORS: readonly (readonly [RegExp, Class])[] = [
  [/nvidia/i, gpu("nvidia", 128, true)],
  [/^amd|advanced micro|samsung/i, gpu("amd", 128, true)],
  [/apple/i, gpu("apple", 64, true)],
  [/intel/i, gpu("intel", 64, true)],
  [/arm\b|qualcomm|img|imagination/i, gpu("mobile", 32, false)],
];
const UNKNOWN = gpu("unknown", 64, false);
const SOFTWARE = { tiles: [], others: [], busy: 1 };

/** Lanes of a subgroup if the lanes core can run: one size, 4 or 8. Else 0. */
export function lanesOf({ subgroups }: Adapter): number {
  if (!subgroups || subgroups.min !== subgroups.max) return 0;
  return subgroups.min === 4 || subgroups.min === 8 ? subgroups.min : 0;
}

/** The class of an adapter; its name is for reports. */
export function classOf(adapter: Adapter): Class {
  if (adapter.kind === "hardware")
    return VENDORS.find(([vendor]) => vendor.test(adapter.vendor))?.[1] ?? UNKNOWN;
  return lanesOf(adapter)
    ? { ...SOFTWARE, name: "software with subgroups", core: "lanes" }
    : { ...SOFTWARE, name: "software", core: "registers" };
}

/** What any adapter runs. */
export const PLAINEST = registers(4, 1);
const REGISTERS = [PLAINEST, registers(4, 2), registers(8, 1), registers(8, 2)];
const sides = [1, 2, 4] as const;
const LANES = [4, 8]
  .flatMap((lanes) =>
    sides.flatMap((wx) =>
      sides
        .filter((wy) => wx * wy <= 4)
        .flatMap((wy) => ([1, 2, 4, 8] as const).map((rows) => lanesVariant(lanes, wx, wy, rows))),
    ),
  )
  .flatMap((v) => [...(v.rows < 8 ? [v] : []), { ...v, images: true }]);

/** Whether the adapter's limits hold a variant. */
function fits({ limits }: Adapter, variant: Variant): boolean {
  const { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: threads } =
    limits;
  return sharedBytes(variant) <= bytes! && tileOf(variant).threads <= threads!;
}

/** All variants that an adapter runs, each with splits 1. No other text is ever compiled for it. */
export function variantsOf(adapter: Adapter): readonly Variant[] {
  const { core, tiles, others } = classOf(adapter);
  const size = core === "lanes" ? lanesOf(adapter) : 0;
  const lanes = LANES.filter((v) => v.lanes === size && (adapter.images || !v.images));
  return [...tiles, ...others, ...lanes, ...REGISTERS].filter((v) => fits(adapter, v));
}

/** The default: a pure function of the adapter's class and limits and of the sizes. */
export function usual(adapter: Adapter, g: Geometry, pass: Pass): Variant {
  const { core } = classOf(adapter);
  const { n, k } = sizesOf(g, pass);
  const widest = g.slices > 1 ? lanesOf(adapter) : 4; // columns that leave most lanes without any
  const narrow = core === "tile" ? n < 16 || k < 16 : n <= widest;
  return rules[narrow ? "registers" : core](adapter, g, pass);
}

/** What each core does by default. */
const rules = {
  registers(adapter: Adapter, g: Geometry, pass: Pass): Variant {
    return split(adapter, PLAINEST, g, pass);
  },
  tile(adapter: Adapter, g: Geometry, pass: Pass): Variant {
    const { m, n } = sizesOf(g, pass);
    const { tiles, busy } = classOf(adapter);
    const wide = tiles.filter((t) => fits(adapter, t)).filter((t) => tileOf(t).n <= up(n, 32) * 32);
    const smallest = wide.at(-1);
    if (!smallest) return rules.registers(adapter, g, pass); // limits below the specification's
    const enough = (t: Variant) =>
      pass === "weight" ? m >= tileOf(t).m : workgroups(t, g, pass) >= busy;
    return split(adapter, wide.find(enough) ?? smallest, g, pass);
  },
  lanes(adapter: Adapter, g: Geometry, pass: Pass): Variant {
    const { m, n } = sizesOf(g, pass);
    const size = lanesOf(adapter);
    const across = up(n, 4 * size); // subgroups that the columns fill
    const wx = [4, 2, 1].find((w) => across % w === 0)!;
    const down = up(m, size);
    const images = drawable(adapter, g, pass);
    const rows = rowsOf(down, images ? 8 : 4); // from buffers the loads of 8 rows do not fit the instruction cache
    const wy = down >= 64 * rows ? 4 / wx : 1;
    return { ...lanesVariant(size, wx, wy, rows), images };
  },
};

/** Rows for `down` subgroups of them: the speed of a full tile, measured, times the part of the tiles that is full. */
function rowsOf(down: number, most: number): number {
  const speeds = { 8: 1, 4: 0.9, 2: 0.7, 1: 0.45 };
  const worth = (rows: keyof typeof speeds) => speeds[rows] / (up(down, rows) * rows);
  return ([8, 4, 2, 1] as const)
    .filter((rows) => rows <= most)
    .reduce((best, rows) => (worth(rows) > worth(best) ? rows : best));
}

/** Elements of an image as large as the specification's limits allow any adapter. */
const MOST_DRAWN = 4 * 1024 * 8192;

/** Elements of both operands of a pass. */
function operands(g: Geometry, pass: Pass): number {
  const [x, w] = [g.batch * g.h * g.w * g.ci, product(g.kernel) * g.ci * g.co];
  const y = g.batch * g.oh * g.ow * g.co;
  return g.slices * { forward: x + w, data: y + w, weight: x + y }[pass];
}
/** Whether the channels of x, and those of y and w, are whole quads wherever they begin. */
export function wholeQuads(g: Geometry) {
  const whole = (...steps: readonly number[]) => steps.every((v) => v % 4 === 0);
  const x4 = whole(g.ci, g.xPixel, g.xSlice);
  return { x4, y4: whole(g.co, g.yPixel, g.wRow, g.ySlice, g.wSlice) };
}
/** Whether operands are no larger than images can be. */
export const canDraw = (g: Geometry, pass: Pass): boolean => operands(g, pass) <= MOST_DRAWN;

/**
 * Whether the loads that images make cheaper outweigh the drawing: on lavapipe a load of 8 quads from an image saves 10 of
 * 16 ns, a quad costs 3 ns to draw, and the two copies 0.1 ms. Each operand is loaded once a tile that it meets.
 */
function drawable({ vendor, images }: Adapter, g: Geometry, pass: Pass): boolean {
  const { x4, y4 } = wholeQuads(g);
  if (!images || !/mesa/i.test(vendor) || !y4 || !(x4 || pass === "data")) return false;
  const { m, n, k } = sizesOf(g, pass);
  const loaded = g.slices * (m * k * up(n, 32) + n * k * up(m, 32));
  return (1.25 * loaded - 3 * operands(g, pass)) / 4 > 1e5 && canDraw(g, pass);
}

function workgroups(variant: Variant, g: Geometry, pass: Pass): number {
  const { m, n, parts } = sizesOf(g, pass);
  const tile = tileOf(variant);
  return up(m, tile.m) * up(n, tile.n) * g.slices * parts;
}

/** A variant with the splits that bring the weight pass to enough workgroups (registers: threads), of some depth each. */
export function split(adapter: Adapter, variant: Variant, g: Geometry, pass: Pass): Variant {
  if (pass !== "weight" || variant.core === "lanes") return variant; // a software adapter gains nothing by it
  const [want, least] = variant.core === "tile" ? [2 * classOf(adapter).busy, 128] : [2048, 64];
  const pixels = sizesOf(g, pass).k;
  const splits = Math.min(
    MOST_SPLITS,
    up(want, workgroups(variant, g, pass)),
    Math.floor(pixels / least),
  );
  return { ...variant, splits: Math.max(1, splits) };
}
export const MOST_SPLITS = 64;

/** Says which variant a product runs on instead of the default; null: no opinion. */
export type Choice = (g: Geometry, pass: Pass) => Variant | null;
const pins = new WeakMap<object, Choice>();

/** From now on the products of the adapter (the `info` of one gpu) run as `choice` says. Gives back what said so before. */
export function pinChoice(adapter: Adapter, choice: Choice | null): Choice | null {
  const before = pins.get(adapter) ?? null;
  if (choice) pins.set(adapter, choice);
  else pins.delete(adapter);
  return before;
}

/** Which core, tile and splits run a pass on an adapter: a pure function of these, and of what is pinned. */
export const choose = (adapter: Adapter, g: Geometry, pass: Pass): Variant =>
  pins.get(adapter)?.(g, pass) ?? usual(adapter, g, pass);
