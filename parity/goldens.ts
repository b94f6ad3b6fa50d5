// Reads golden data: the manifest, a case's inputs (stored, or made by the fill rule) and its expected outputs.
// It judges nothing. What it does not know in a case is listed as that case's problem, never passed over.
import { readFile } from "#platform";
import { FormatError } from "../src/errors.ts";
import { type HostData, readSafetensors, type SafetensorsFile } from "../src/io/safetensors.ts";
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
  readonly int: Exclude<HostData, Float32Array | Float64Array> | null;
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

export interface Case {
  readonly id: string;
  readonly category: string;
  readonly reference: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly in: Readonly<Record<string, Input>>;
  readonly out: Readonly<Record<string, Expected>>;
  /** Seed of the parameters that are filled by kind and not listed among the inputs; null without any. */
  readonly seed: string | null;
  /** The side JSON, or null. */
  readonly side: unknown;
  /** Inputs that are both stored and made by rule: what is stored, to compare with `in`. */
  readonly stored: Readonly<Record<string, Input>>;
  /** Other keys of the case, by name: `mask`, `first_nan_step`, `f32_f64_differ_by_design`. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** What the reader did not understand: each is a failure of the case. */
  readonly problems: readonly string[];
}

/** One entry of the manifest, its parts not yet checked. */
export interface ManifestCase {
  readonly id: string;
  readonly category: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

export interface Goldens {
  readonly where: string;
  readonly cases: readonly ManifestCase[];
  readCase(id: string): Promise<Case>;
}

/** Keys that only document a case. */
const NOTES = [
  "what",
  "precision",
  "f32_worst_rel_l2",
  "f32_max_elementwise_rel_above_1e-30",
  "worst_param_grad_rel",
  "side_is",
  "verified_against_Experiment._train_fn",
  "loss_rel_f32_vs_f64",
];
const EXTRA = ["mask", "first_nan_step", "f32_f64_differ_by_design"];
const PARTS = [
  "id",
  "category",
  "reference",
  "config",
  "file",
  "inputs",
  "outputs",
  "params",
  "side",
];

/**
 * Opens a folder of goldens: a path in Node, a URL (absolute, or relative to the page) elsewhere.
 * @throws FormatError if its manifest cannot be read.
 */
export async function openGoldens(where: string | URL): Promise<Goldens> {
  const read = reader(where);
  const manifest = parseJson("manifest.json", await read("manifest.json"));
  if (!isObject(manifest) || !Array.isArray(manifest.cases)) {
    throw new FormatError(`${where}: manifest.json has no list of cases`);
  }
  const ids = new Map<string, ManifestCase>();
  for (const entry of manifest.cases as unknown[]) {
    if (!isObject(entry) || typeof entry.id !== "string" || typeof entry.category !== "string") {
      throw new FormatError(`${where}: manifest.json has a case without id or category`);
    }
    if (ids.has(entry.id)) throw new FormatError(`${where}: two cases are named ${entry.id}`);
    const config = isObject(entry.config) ? entry.config : {};
    ids.set(entry.id, { ...entry, id: entry.id, category: entry.category, config });
  }
  return {
    where: String(where),
    cases: [...ids.values()],
    readCase(id) {
      const entry = ids.get(id);
      if (!entry) throw new FormatError(`${where}: no case is named ${id}`);
      return parseCase(entry, read);
    },
  };
}

/** One case of a folder (see `openGoldens`), its inputs made and its outputs read. */
export async function readCase(where: string | URL, id: string): Promise<Case> {
  return (await openGoldens(where)).readCase(id);
}

type Read = (name: string) => Promise<Uint8Array>;

function reader(where: string | URL): Read {
  const inPage = typeof document !== "undefined";
  if (where instanceof URL || inPage || /^https?:/.test(where)) {
    const base = new URL(where, inPage ? document.baseURI : undefined).href.replace(/\/?$/, "/");
    return async (name) => {
      const url = new URL(name, base);
      const response = await fetch(url);
      if (!response.ok) throw new FormatError(`${url}: ${response.status} ${response.statusText}`);
      return new Uint8Array(await response.arrayBuffer());
    };
  }
  return (name) => readFile(`${where}/${name}`);
}

async function parseCase(entry: ManifestCase, read: Read): Promise<Case> {
  const problems: string[] = [];
  const unknownKeys = (what: string, keys: string[], known: readonly string[]) => {
    for (const key of keys) if (!known.includes(key)) problems.push(`unknown key ${what}${key}`);
  };
  unknownKeys("", Object.keys(entry), [...PARTS, ...NOTES, ...EXTRA]);
  const section = (name: "inputs" | "outputs") => {
    const part = entry[name];
    if (isObject(part)) return Object.entries(part);
    problems.push(`${name} is not an object`);
    return [];
  };
  const file = await openData(entry.file, read);
  const used = new Set<string>();
  const tensor = async (name: string) => {
    used.add(name);
    return (await file.entries.get(name)?.read())?.data ?? null;
  };
  const inputs: [string, Input][] = [];
  const stored: [string, Input][] = [];
  for (const [name, spec] of section("inputs")) {
    try {
      const made = makeInput(spec);
      const kept = isObject(spec) && spec.stored === true ? await tensor(`in/${name}`) : null;
      const input = kept && { data: asInput(kept, sizeOf(spec)), shape: shapeOf(spec) };
      if (made ?? input) inputs.push([name, (made ?? input) as Input]);
      if (made && input) stored.push([name, input]);
      if (!made && !input) problems.push(`input ${name}: neither stored nor made by a rule`);
    } catch (error) {
      problems.push(`input ${name}: ${(error as Error).message}`);
    }
  }
  const outputs: [string, Expected][] = [];
  for (const [name, spec] of section("outputs")) {
    try {
      outputs.push([name, await parseOutput(name, spec, tensor)]);
    } catch (error) {
      problems.push(`output ${name}: ${(error as Error).message}`);
    }
  }
  for (const name of file.entries.keys()) {
    if (!used.has(name)) problems.push(`the file's tensor ${name} belongs to nothing`);
  }
  const side =
    entry.side === undefined ? null : parseJson(String(entry.side), await read(plain(entry.side)));
  return {
    id: entry.id,
    category: entry.category,
    reference: String(entry.reference ?? ""),
    config: entry.config,
    in: Object.fromEntries(inputs),
    out: Object.fromEntries(outputs),
    seed: parseParams(entry.params, problems),
    side,
    stored: Object.fromEntries(stored),
    extra: Object.fromEntries(EXTRA.filter((key) => key in entry).map((key) => [key, entry[key]])),
    problems,
  };
}

async function openData(name: unknown, read: Read): Promise<SafetensorsFile> {
  if (name === null || name === undefined) return { entries: new Map(), metadata: new Map() };
  return readSafetensors(await read(plain(name)));
}

/** A file's name, not a way out of the folder. */
function plain(name: unknown): string {
  if (typeof name === "string" && /^[\w+-][\w.+-]*$/.test(name)) return name;
  throw new FormatError(`${JSON.stringify(name)} is not a file name`);
}

function parseParams(params: unknown, problems: string[]): string | null {
  if (params === undefined) return null;
  const { seed, rule, ...rest } = isObject(params) ? params : {};
  for (const key of Object.keys(rest)) {
    if (key !== "count" && key !== "tensors") problems.push(`unknown key params.${key}`);
  }
  if (typeof seed === "string" && typeof rule === "string" && rule.startsWith("by kind"))
    return seed;
  problems.push(`params ${JSON.stringify(params)}: expected a seed and the rule "by kind"`);
  return null;
}

function makeInput(spec: unknown): Input | null {
  if (!isObject(spec)) throw new FormatError("is not an object");
  onlyKeys(spec, ["shape", "fill", "fillInt", "stored"]);
  const shape = shapeOf(spec);
  const n = sizeOf(spec);
  if (spec.fill !== undefined && spec.fillInt !== undefined) throw new FormatError("has two rules");
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
  } else if (spec.fill === undefined && spec.fillInt === undefined) return null;
  throw new FormatError(`has a rule that is not understood: ${JSON.stringify(spec)}`);
}

function asInput(data: HostData, size: number): Input["data"] {
  if (data.length !== size) throw new FormatError(`expected ${size} elements, got ${data.length}`);
  if (data instanceof Float32Array) return data as Float32Array<ArrayBuffer>;
  if (data instanceof Uint32Array) return data as Uint32Array<ArrayBuffer>;
  if (data instanceof Int32Array) return data as Int32Array<ArrayBuffer>;
  throw new FormatError(`is ${data.constructor.name}, expected f32, u32 or i32`);
}

async function parseOutput(
  name: string,
  spec: unknown,
  tensor: (name: string) => Promise<HostData | null>,
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

function shapeOf(spec: unknown): number[] {
  const shape = isObject(spec) ? spec.shape : undefined;
  if (Array.isArray(shape) && shape.every((d) => Number.isInteger(d) && d >= 0)) return shape;
  throw new FormatError(`shape is ${JSON.stringify(shape)}`);
}

const sizeOf = (spec: unknown) => shapeOf(spec).reduce((a, b) => a * b, 1);

function onlyKeys(object: object, known: readonly string[]): void {
  const unknown = Object.keys(object).filter((key) => !known.includes(key));
  if (unknown.length) throw new FormatError(`unknown key ${unknown.join(", ")}`);
}

function parseJson(name: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new FormatError(`${name}: ${(cause as Error).message}`, { cause });
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
