// Parses what the manifest says of one input or output of a case. Anything that it does not know is an error.
import { FormatError, type io } from "../src/index.ts";
import { fill, fillInt } from "./fill.ts";

/** Norms of a whole array, accumulated in f64; NaN and infinities as numbers. */
export interface Norms {
  readonly l2: number;
  readonly sum: number;
}

/** What is known of one output: values in f32 and f64, or integers; all of them, or every k-th. */
export interface Expected {
  readonly shape: readonly number[];
  /** False: all values are given. True: only every k-th of the flat array, and norms of the whole. */
  readonly strided: boolean;
  readonly k: number;
  readonly f32: Float32Array | null;
  readonly f64: Float64Array | null;
  readonly int: Exclude<io.HostData, Float32Array | Float64Array> | null;
  /** Norms of the whole array; never null beside strided values. */
  readonly norms: { readonly f32: Norms | null; readonly f64: Norms | null };
  /** |f32 - f64| / |f64| over the whole array, where it is given. */
  readonly rel: number | null;
}

/** An input: f32, u32 (made by the integer rule) or i32 (stored integers). */
export interface Input {
  readonly data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
  readonly shape: readonly number[];
}

/** An input made by its rule; null for one that is only stored. */
export function makeInput(spec: unknown): Input | null {
  if (!isObject(spec)) throw new FormatError("is not an object");
  onlyKeys(spec, ["shape", "fill", "fillInt", "constant", "stored"]);
  const shape = shapeOf(spec);
  const n = sizeOf(spec);
  const rules = [spec.fill, spec.fillInt, spec.constant].filter((rule) => rule !== undefined);
  if (rules.length > 1) throw new FormatError("has two rules");
  if (typeof spec.constant === "number") {
    return { data: new Float32Array(n).fill(spec.constant), shape };
  }
  if (isObject(spec.fill)) {
    onlyKeys(spec.fill, ["name", "mean", "std"]);
    const { name, mean, std } = spec.fill;
    if (typeof name === "string" && typeof mean === "number" && typeof std === "number") {
      return { data: fill(name, n, mean, std), shape };
    }
  } else if (isObject(spec.fillInt)) {
    onlyKeys(spec.fillInt, ["name", "k"]);
    const { name, k } = spec.fillInt;
    if (typeof name === "string" && typeof k === "number") {
      return { data: fillInt(name, n, k), shape };
    }
  } else if (rules.length === 0) return null;
  throw new FormatError(`has a rule that is not understood: ${JSON.stringify(spec)}`);
}

/** Shape of an input that its category makes as `config.source` says. */
export function formulaShape(spec: Record<string, unknown>): readonly number[] {
  onlyKeys(spec, ["shape", "formula"]);
  if (spec.formula !== "config.source") {
    throw new FormatError(`has a formula that is not understood: ${JSON.stringify(spec.formula)}`);
  }
  return shapeOf(spec);
}

/** A stored input. */
export function asInput(data: io.HostData, size: number): Input["data"] {
  if (data.length !== size) throw new FormatError(`expected ${size} elements, got ${data.length}`);
  if (data instanceof Float32Array) return data as Float32Array<ArrayBuffer>;
  if (data instanceof Uint32Array) return data as Uint32Array<ArrayBuffer>;
  if (data instanceof Int32Array) return data as Int32Array<ArrayBuffer>;
  throw new FormatError(`is ${data.constructor.name}, expected f32, u32 or i32`);
}

/** An output's manifest entry with its values from the file. */
export async function parseOutput(
  name: string,
  spec: unknown,
  tensor: (name: string) => Promise<io.HostData | null>,
): Promise<Expected> {
  if (!isObject(spec)) throw new FormatError("is not an object");
  onlyKeys(spec, ["shape", "stored", "k", "f32", "f64", "f32_rel_l2", "f32_max_abs"]);
  const shape = shapeOf(spec);
  const strided = spec.stored === "strided";
  if (!strided && (spec.stored !== "full" || spec.k !== undefined)) {
    throw new FormatError(`stored is ${JSON.stringify(spec.stored)}, expected full or strided`);
  }
  const k = strided ? Number(spec.k) : 1;
  if (!(Number.isInteger(k) && k > 0)) throw new FormatError(`k is ${spec.k}`);
  const [f32, f64, int] = await Promise.all(
    ["f32", "f64", "int"].map((t) => tensor(`${t}/${name}`)),
  );
  const count = Math.ceil(sizeOf(spec) / k);
  for (const data of [f32, f64, int]) {
    if (data && data.length !== count) {
      throw new FormatError(`[${shape}] with k ${k} has ${count} values, the file ${data.length}`);
    }
  }
  if (f32 && !(f32 instanceof Float32Array)) throw new FormatError("f32 values are not F32");
  if (f64 && !(f64 instanceof Float64Array)) throw new FormatError("f64 values are not F64");
  if (int instanceof Float32Array || int instanceof Float64Array) {
    throw new FormatError("integers are stored as floats");
  }
  if (int ? f32 || f64 || strided : !f32 && !f64) {
    throw new FormatError("expected values in f32, f64 or both, or else integers");
  }
  const norms = { f32: parseNorms(spec.f32), f64: parseNorms(spec.f64) };
  if (strided && ((f32 && !norms.f32) || (f64 && !norms.f64))) {
    throw new FormatError("is strided and has no norms");
  }
  const rel = spec.f32_rel_l2 === undefined ? null : toNumber(spec.f32_rel_l2);
  return { shape, strided, k, f32: f32 ?? null, f64: f64 ?? null, int: int ?? null, norms, rel };
}

function parseNorms(norms: unknown): Norms | null {
  if (norms === undefined) return null;
  if (!isObject(norms)) throw new FormatError("norms are not an object");
  onlyKeys(norms, ["l2", "sum"]);
  return { l2: toNumber(norms.l2), sum: toNumber(norms.sum) };
}

/** A number of the manifest: those that JSON does not have are strings. */
export function toNumber(value: unknown): number {
  if (typeof value === "number") return value;
  if (value === "nan") return Number.NaN;
  if (value === "inf") return Number.POSITIVE_INFINITY;
  if (value === "-inf") return Number.NEGATIVE_INFINITY;
  throw new FormatError(`${JSON.stringify(value)} is not a number`);
}

export function shapeOf(spec: unknown): number[] {
  const shape = isObject(spec) ? spec.shape : undefined;
  if (Array.isArray(shape) && shape.every((d) => Number.isInteger(d) && d >= 0)) return shape;
  throw new FormatError(`shape is ${JSON.stringify(shape)}`);
}

/** More elements than any case has; a shape that claims more is not believed. */
const MOST = 2 ** 28;

export function sizeOf(spec: unknown): number {
  const shape = shapeOf(spec);
  const size = shape.reduce((a, b) => a * b, 1);
  if (size > MOST) throw new FormatError(`shape [${shape}] has more than ${MOST} elements`);
  return size;
}

function onlyKeys(object: object, known: readonly string[]): void {
  const unknown = Object.keys(object).filter((key) => !known.includes(key));
  if (unknown.length) throw new FormatError(`unknown key ${unknown.join(", ")}`);
}

export function parseJson(name: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new FormatError(`${name}: ${(cause as Error).message}`, { cause });
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
