// Reads golden data: the manifest, a case's inputs (stored, or made by the fill rule) and its expected outputs.
// It judges nothing. What it does not know in a case is listed as that case's problem, never passed over.
import { FormatError, io } from "../src/index.ts";
import {
  asInput,
  type Expected,
  formulaShape,
  type Input,
  isObject,
  makeInput,
  parseJson,
  parseOutput,
  shapeOf,
  sizeOf,
} from "./manifest.ts";

export type { Expected, Input, Norms } from "./manifest.ts";

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
  /** Inputs that the case's category makes from its config (`"formula"`): their shapes. */
  readonly formulas: Readonly<Record<string, readonly number[]>>;
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
  /** A file of the folder that a case names: `folder/name`. */
  readFile(path: string): Promise<Uint8Array>;
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
    readFile: async (path) => read(path.split("/").map(plain).join("/")),
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
  return async (name) => {
    const file = await io.openFile(`${where}/${name}`);
    return file.read(0, file.size);
  };
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
  const formulas: [string, readonly number[]][] = [];
  for (const [name, spec] of section("inputs")) {
    try {
      if (isObject(spec) && "formula" in spec) {
        formulas.push([name, formulaShape(spec)]);
        continue;
      }
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
    formulas: Object.fromEntries(formulas),
    extra: Object.fromEntries(EXTRA.filter((key) => key in entry).map((key) => [key, entry[key]])),
    problems,
  };
}

async function openData(name: unknown, read: Read): Promise<io.SafetensorsFile> {
  if (name === null || name === undefined) return { entries: new Map(), metadata: new Map() };
  return io.readSafetensors(await read(plain(name)));
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
