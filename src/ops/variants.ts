// Chooses how the passes of shaders/conv2d.wgsl run: which core, which tile, how many splits. Knows adapters and sizes;
// dispatches nothing (gemm.ts) and times nothing.

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
export interface Adapter {
  readonly kind: "software" | "hardware";
  readonly subgroups: { readonly min: number; readonly max: number } | null;
}

/** The core's knobs; what they mean is said in each core's text. */
export interface Variant {
  readonly core: Core;
  readonly lanes: number;
  readonly wx: number;
  readonly wy: number;
  readonly rows: number;
  readonly quads: number;
  readonly depth: number;
  readonly prefetch: boolean;
  /** Parts that the weight pass cuts its pixels into. */
  readonly splits: number;
}

type Forced = Partial<Variant> & { readonly core: Core };
let forced: Forced | null = null;
/** From now on all products run like this, on a core that the adapter can run; null: chosen again. For tests. */
export function forceVariant(variant: Forced | null): void {
  forced = variant;
}

/** Lanes of a subgroup if the lanes core can run: one size, 4 or 8. Else 0. */
export function lanesOf({ subgroups }: Adapter): number {
  if (!subgroups || subgroups.min !== subgroups.max) return 0;
  return subgroups.min === 4 || subgroups.min === 8 ? subgroups.min : 0;
}

export const up = (n: number, by: number): number => Math.ceil(n / by);
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

const BASE = { lanes: 8, quads: 1, depth: 4, prefetch: false, splits: 1 } as const;
/** The tiles for GPUs, largest first: rows x columns of C in a workgroup. */
const TILES: readonly { readonly m: number; readonly n: number; readonly variant: Variant }[] = [
  { m: 128, n: 128, variant: tileVariant(16, 16, 8, 2) },
  { m: 64, n: 64, variant: tileVariant(16, 16, 4, 1) },
  { m: 32, n: 32, variant: tileVariant(8, 8, 4, 1) },
];
function tileVariant(wx: number, wy: number, rows: number, quads: number): Variant {
  return { ...BASE, core: "tile", wx, wy, rows, quads, depth: 16, prefetch: true };
}
const BUSY = 128; // workgroups that keep a GPU busy; below it smaller tiles are worth their loads

/** Which core, tile and splits run a pass on an adapter. A pure function; a tuner's table would stand in its place. */
export function choose(adapter: Adapter, g: Geometry, pass: Pass): Variant {
  const { n, k } = sizesOf(g, pass);
  const size = lanesOf(adapter);
  const usual = adapter.kind === "hardware" ? "tile" : size ? "lanes" : "registers";
  const narrow = usual === "tile" ? n < 16 || k < 16 : g.slices > 1 && n <= size;
  if (!forced) return VARIANTS[narrow ? "registers" : usual](size, g, pass);
  const variant = { ...VARIANTS[forced.core](size, g, pass), ...forced };
  return pass === "weight" ? variant : { ...variant, splits: 1 };
}

const VARIANTS = {
  registers(_: number, g: Geometry, pass: Pass): Variant {
    const { m, n, k, parts } = sizesOf(g, pass);
    const rows = 4;
    const threads = up(m, rows) * up(n, 4) * g.slices * parts;
    const splits = pass === "weight" ? splitsFor(threads, 2048, k, 64) : 1;
    return { ...BASE, core: "registers", wx: 32, wy: 1, rows, splits };
  },
  tile(_: number, g: Geometry, pass: Pass): Variant {
    const { m, n, k, parts } = sizesOf(g, pass);
    const groups = (t: { m: number; n: number }) => up(m, t.m) * up(n, t.n) * g.slices * parts;
    const wide = TILES.filter((t) => t.n <= Math.max(32, up(n, 32) * 32));
    if (pass === "weight") {
      const t = wide.find((t) => m >= t.m) ?? wide.at(-1)!;
      return { ...t.variant, splits: splitsFor(groups(t), 2 * BUSY, k, 128) };
    }
    return (wide.find((t) => groups(t) >= BUSY) ?? wide.at(-1)!).variant;
  },
  lanes(size: number, g: Geometry, pass: Pass): Variant {
    const { m, n } = sizesOf(g, pass);
    const across = up(n, 4 * size); // subgroups that the columns fill
    const wx = [4, 2, 1].find((w) => across % w === 0)!;
    const down = up(m, size);
    const rows = down >= 4 ? 4 : down >= 2 ? 2 : 1;
    const wy = down >= 64 * rows ? 4 / wx : 1;
    return { ...BASE, core: "lanes", lanes: size, wx, wy, rows };
  },
};

/** Splits that bring `have` to `want`, of at least `least` pixels each. */
function splitsFor(have: number, want: number, pixels: number, least: number): number {
  return Math.max(1, Math.min(64, up(want, have), Math.floor(pixels / least)));
}
