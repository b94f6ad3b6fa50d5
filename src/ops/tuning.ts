// Tables that say which variant a product of matrices runs on, instead of the default rules of variants.ts: read from
// files that nobody has to trust, pinned to a gpu, and what a tuner needs to make one. Times nothing: bench/tune.ts.
import type { Gpu } from "../core/gpu.ts";
import type { Tensor } from "../core/tensor.ts";
import { FormatError } from "../errors.ts";
import type { AdapterInfo } from "../gpu/device.ts";
import { candidatesOf } from "./candidates.ts";
import { gemm, type Operands } from "./gemm.ts";
import {
  canDraw,
  type Geometry,
  MOST_SPLITS,
  nameOf,
  type Pass,
  PLAINEST,
  pinChoice,
  usual,
  type Variant,
  variantsOf,
} from "./variants.ts";

export type { Geometry, Pass, Variant };

/** One product of matrices: a pass of a convolution, or a matmul as a pass of a 1x1 convolution. */
export interface Product {
  readonly pass: Pass;
  readonly geometry: Geometry;
}

/** A product that ran, and how. */
export interface Traced extends Product {
  readonly variant: Variant;
}

/** The adapter that a table was made on. */
export type Maker = Pick<
  AdapterInfo,
  "kind" | "vendor" | "architecture" | "device" | "description" | "subgroups"
>;

/** One line of a table. */
export interface Choice {
  /** `productName` of a product; the batch is no part of it. */
  readonly product: string;
  readonly batch: number;
  /** `variantName` of one of the variants that the adapter has. */
  readonly variant: string;
  readonly splits: number;
}

/** What is chosen on an adapter: plain data, made to be written as JSON. */
export interface Table {
  readonly format: "nfgrad tuning";
  readonly version: 1;
  readonly adapter: Maker;
  readonly products: readonly Choice[];
}

/** A line holds for batches up to so many times as large or small as its own. */
const BATCH_RANGE = 4;
const MOST_PRODUCTS = 100_000;

/** `tile 128x128x16 16x16 prefetch`: core, rows x columns x depth of a step, threads. */
export const variantName = (variant: Variant): string => nameOf(variant);

/** All sizes of a product but its batch: `forward 24x24x128>24x24x128 3x3 s1x1 d1x1 p1x1 g2 x256+128 y256+128 w256+128`. */
export function productName({ pass, geometry: g }: Product): string {
  const pair = ([a, b]: readonly [number, number]) => `${a}x${b}`;
  return [
    ...[pass, `${g.h}x${g.w}x${g.ci}>${g.oh}x${g.ow}x${g.co}`, pair(g.kernel)],
    ...[`s${pair(g.stride)}`, `d${pair(g.dilation)}`, `p${pair(g.pad)}`, `g${g.slices}`],
    ...[`x${g.xPixel}+${g.xSlice}`, `y${g.yPixel}+${g.ySlice}`, `w${g.wRow}+${g.wSlice}`],
  ].join(" ");
}
const N = "\\d{1,10}";
const PRODUCT = new RegExp(
  `^(forward|data|weight) ${N}x${N}x${N}>${N}x${N}x${N} ${N}x${N} s${N}x${N} d${N}x${N} p${N}x${N} g${N}` +
    ` x${N}\\+${N} y${N}\\+${N} w${N}\\+${N}$`,
);

/** A table of choices for this gpu's adapter. */
export function table(
  gpu: Gpu,
  choices: readonly (Product & { readonly variant: Variant })[],
): Table {
  const { kind, vendor, architecture, device, description, subgroups } = gpu.info;
  return {
    format: "nfgrad tuning",
    version: 1,
    adapter: { kind, vendor, architecture, device, description, subgroups },
    products: choices.map(({ variant, ...product }) => ({
      product: productName(product),
      batch: product.geometry.batch,
      variant: nameOf(variant),
      splits: variant.splits,
    })),
  };
}

const refuse = (expected: string, got: unknown): never => {
  const shown = JSON.stringify(got) ?? String(got);
  throw new FormatError(`tuning: expected ${expected}, got ${shown.slice(0, 80)}`);
};

/** The fields of an object, if it has exactly these. */
function fields<K extends string>(
  what: string,
  value: unknown,
  names: readonly K[],
): Readonly<Record<K, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return refuse(what, value);
  const given = Object.keys(value);
  const odd =
    given.find((name) => !names.includes(name as K)) ?? names.find((n) => !given.includes(n));
  return odd === undefined
    ? (value as Record<K, unknown>)
    : refuse(`${what} with the fields ${names.join(", ")}`, given);
}
const text = (what: string, value: unknown): string =>
  typeof value === "string" && value.length <= 1000 ? value : refuse(what, value);
const count = (what: string, value: unknown, most: number): number =>
  Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most
    ? (value as number)
    : refuse(`${what} from 1 to ${most}`, value);

function makerOf(value: unknown): Maker {
  const names = ["kind", "vendor", "architecture", "device", "description", "subgroups"] as const;
  const given = fields("an adapter", value, names);
  const { kind } = given;
  if (kind !== "software" && kind !== "hardware") return refuse("a kind of adapter", kind);
  const [vendor, architecture, device, description] = names
    .slice(1, 5)
    .map((name) => text(`the adapter's ${name}`, given[name])) as [string, string, string, string];
  const sizes =
    given.subgroups === null ? null : fields("subgroups", given.subgroups, ["min", "max"]);
  const size = (n: unknown) => count("a subgroup's size", n, 1024);
  const subgroups = sizes && { min: size(sizes.min), max: size(sizes.max) };
  return { kind, vendor, architecture, device, description, subgroups };
}

/**
 * A table out of parsed JSON. Whether its variants exist is said by `pin`, which knows the adapter.
 *
 * @throws FormatError for another format or version, for a field that is missing, unknown or out of range, and for a
 * product that stands there twice.
 */
export function parse(json: unknown): Table {
  const given = fields("a tuning table", json, ["format", "version", "adapter", "products"]);
  if (given.format !== "nfgrad tuning") refuse('the format "nfgrad tuning"', given.format);
  if (given.version !== 1) refuse("version 1", given.version);
  const adapter = makerOf(given.adapter);
  const list = given.products;
  if (!Array.isArray(list) || list.length > MOST_PRODUCTS)
    return refuse(`a list of up to ${MOST_PRODUCTS} products`, list);
  const known = new Set<string>();
  const products = list.map((entry: unknown): Choice => {
    const line = fields("a product", entry, ["product", "batch", "variant", "splits"]);
    const product = text("a product's name", line.product);
    if (!PRODUCT.test(product)) refuse("a product's name", product);
    const batch = count("a batch", line.batch, 2 ** 31);
    const variant = text("a variant's name", line.variant);
    const most = product.startsWith("weight") ? MOST_SPLITS : 1;
    const splits = count(`splits of '${product}'`, line.splits, most);
    const key = `${product} n${batch}`;
    if (known.has(key)) refuse("each product once", key);
    known.add(key);
    return { product, batch, variant, splits };
  });
  return { format: "nfgrad tuning", version: 1, adapter, products };
}

/** Why a table is not for an adapter, or null. */
function mismatch(made: Maker, info: AdapterInfo): string | null {
  const same = (name: "kind" | "vendor" | "architecture" | "device" | "description") =>
    made[name] === info[name]
      ? null
      : `for ${name} ${JSON.stringify(made[name])}, this adapter's is ${JSON.stringify(info[name])}`;
  const sizes = ({ subgroups }: Pick<Maker, "subgroups">) =>
    subgroups ? `of ${subgroups.min} to ${subgroups.max}` : "none";
  if (sizes(made) !== sizes(info))
    return `for subgroups ${sizes(made)}, this adapter has ${sizes(info)}`;
  const unnamed = info.architecture === "" ? (same("device") ?? same("description")) : null;
  return same("kind") ?? same("vendor") ?? same("architecture") ?? unnamed;
}

/** Whether a table is for this gpu's adapter: to pick one of several. */
export const matches = (gpu: Gpu, of: Table): boolean => mismatch(of.adapter, gpu.info) === null;

/**
 * From now on this gpu's products run as a table says, and as by default where it says nothing; null: all by default.
 * What has been recorded stays as it was, so pin first. `json` is a table, or what `JSON.parse` made of a file: it is
 * checked as a whole, and names variants that the engine has, so a file cannot bring code of its own.
 *
 * A table holds for adapters of equal kind, vendor, architecture and subgroup sizes (where the architecture has no name,
 * of equal device and description): it may be shipped. The driver may be another; equal bits need an equal one.
 *
 * @throws FormatError as `parse`, if the table is for another adapter, or if it names a variant that this one has not.
 */
export function pin(gpu: Gpu, json: unknown): void {
  const { info } = gpu;
  if (json === null) {
    pinChoice(info, null);
    return;
  }
  const { adapter, products } = parse(json);
  const other = mismatch(adapter, info);
  if (other) throw new FormatError(`tuning: the table is ${other}`);
  const variants = new Map(variantsOf(info).map((v) => [nameOf(v), v]));
  const lines = new Map<string, { readonly batch: number; readonly variant: Variant }[]>();
  for (const { product, batch, variant: name, splits } of products) {
    const variant = variants.get(name);
    if (!variant)
      throw new FormatError(`tuning: this adapter has no variant '${name}' for '${product}'`);
    const all = lines.get(product) ?? [];
    lines.set(product, all);
    all.push({ batch, variant: { ...variant, splits } });
  }
  // Of several batches the nearest counts, and of equally near ones the smaller.
  for (const all of lines.values()) all.sort((a, b) => a.batch - b.batch);
  pinChoice(info, (geometry, pass) => {
    const distance = (batch: number) => Math.abs(Math.log(batch / geometry.batch));
    let best: Variant | null = null;
    let least = Math.log(BATCH_RANGE) + 1e-9;
    for (const { batch, variant } of lines.get(productName({ pass, geometry })) ?? []) {
      if (distance(batch) >= least || (variant.images && !canDraw(geometry, pass))) continue;
      least = distance(batch);
      best = variant;
    }
    return best;
  });
}

/**
 * Runs `fn` (synchronous) in a scope and says which products it asked for, each once, in order. A recorded function
 * asks when it records, not when it replays.
 */
export function trace(gpu: Gpu, fn: () => unknown): Traced[] {
  const { info } = gpu;
  const found = new Map<string, Traced>();
  const before = pinChoice(info, (geometry, pass) => {
    const variant = before?.(geometry, pass) ?? usual(info, geometry, pass);
    const product = { pass, geometry };
    const key = `${productName(product)} n${geometry.batch}`;
    if (!found.has(key)) found.set(key, { ...product, variant });
    return variant;
  });
  try {
    gpu.scope<void>(() => void fn());
  } finally {
    pinChoice(info, before);
  }
  return [...found.values()];
}

/** The variants that are worth a try for a product on this gpu; the default first. */
export const candidates = (gpu: Gpu, { geometry, pass }: Product): readonly Variant[] =>
  candidatesOf(gpu.info, geometry, pass);

/** A variant that any adapter runs, as plain as it can be: what others are compared with. */
export const plainest: Variant = PLAINEST;

/** Whether a variant is one that a table may name for a product on this gpu. */
export const isKnown = (gpu: Gpu, { pass }: Product, variant: Variant): boolean => {
  const { splits, ...knobs } = variant;
  const [own] = variantsOf(gpu.info).filter((v) => nameOf(v) === nameOf(variant));
  const most = pass === "weight" ? MOST_SPLITS : 1;
  const equal = own && Object.entries(knobs).every(([k, v]) => own[k as keyof Variant] === v);
  return equal === true && splits >= 1 && splits <= most;
};

/**
 * Runs one product on one variant. `a` and `b` are x and w for "forward", dy and w for "data", x and dy for "weight";
 * all of `c` is written: y, dx or dw. Writes nothing on a tape and checks no size: for tuners.
 */
export function multiply(
  gpu: Gpu,
  { geometry, pass }: Product,
  { a, b, c }: { readonly a: Tensor; readonly b: Tensor; readonly c: Tensor },
  variant: Variant,
): void {
  const operands: Operands = { a, b, c };
  const before = pinChoice(gpu.info, () => variant);
  try {
    gpu.internals.memory.rule((run) => gemm(run, geometry, pass, operands));
  } finally {
    pinChoice(gpu.info, before);
  }
}
