// Parameters under Haiku's names: reads the release's pickles, .npz and safetensors for a model, and writes the last
// two with whatever a training run needs beside. Which format a file has is told by its content, not by its name.
import { writeFile } from "#platform";
import type { Lazy, LazyTree } from "../core/host.ts";
import type { ParamSpec, SpecTree } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { leaves } from "../core/tree.ts";
import { collect } from "../core/walk.ts";
import { FormatError, OptionError } from "../errors.ts";
import {
  type Branch,
  contents,
  type FileFormat,
  META,
  type Meta,
  openSafetensors,
  parseMeta,
  place,
} from "./named.ts";
import { openNpz } from "./npz.ts";
import { readPickle } from "./pickle.ts";
import { arrayNames, arrayOf } from "./pickleNames.ts";
import { describe } from "./pickleValues.ts";
import { type ByteSource, exactly, named, type RandomAccess, randomAccess } from "./source.ts";
import { lazy, type StoredArray, verify } from "./storedArray.ts";

/** What names parameters: every model of `nn`. */
export interface HaikuNamed {
  readonly spec: SpecTree;
  /** From tree path to Haiku's name: the module's path, "/", and the parameter's own name. */
  readonly names: Readonly<Record<string, string>>;
  /** The same for running statistics, of models that have them. */
  readonly stateNames?: Readonly<Record<string, string>>;
}
/** Every path that has a Haiku name. */
const allNames = ({ names, stateNames = {} }: HaikuNamed): [path: string, name: string][] =>
  Object.entries({ ...names, ...stateNames });

interface Found {
  /** By `module/name`. */
  readonly arrays: ReadonlyMap<string, StoredArray>;
  /** What `saveHaiku` wrote beside them; null in files of others. */
  readonly meta: Meta | null;
}

/** The arrays of a file in any of the formats. */
async function open(file: RandomAccess): Promise<Found> {
  const found = await openAny(file);
  if (found.arrays.size) return found;
  throw new FormatError("haiku: the file holds no array");
}

async function openAny(file: RandomAccess): Promise<Found> {
  const start = await exactly(file, 0, Math.min(16, file.size), "the file's start");
  const [first = 0, second = 0] = start;
  // A header's length below 2^40, and its opening brace.
  if (start[8] === 0x7b && start.subarray(5, 8).every((byte) => byte === 0)) {
    const { arrays, metadata } = await openSafetensors(file);
    return { arrays, meta: parseMeta(metadata.get(META)) };
  }
  if (first === 0x50 && second === 0x4b) {
    const { arrays, texts } = await openNpz(file);
    return { arrays, meta: parseMeta(texts.get(META)) };
  }
  // Protocols 0 and 1 have no header. No array is read from them, but what they would call is named in the error.
  if (first === 0x80 || "c(}]".includes(String.fromCharCode(first))) return fromPickle(file);
  const bytes = [...start.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0"));
  throw new FormatError(
    "haiku: expected a pickle of protocol 2 to 5, an .npz or a safetensors file, " +
      `it starts with ${bytes.join(" ") || "nothing"}`,
  );
}

/** `{module: {name: array}}`. */
async function fromPickle(file: RandomAccess): Promise<Found> {
  const root = await readPickle(file, arrayNames);
  const wrong = (what: string): never => {
    throw new FormatError(`haiku: expected {module: {name: array}}, ${what}`);
  };
  if (typeof root !== "object" || root?.kind !== "dict") return wrong(`it is ${describe(root)}`);
  const arrays = new Map<string, StoredArray>();
  for (const [module, inner] of root.entries) {
    if (typeof inner !== "object" || inner?.kind !== "dict")
      return wrong(`"${module}" is ${describe(inner)}`);
    for (const [name, value] of inner.entries) {
      const full = `${module}/${name}`;
      if (arrays.has(full)) wrong(`two arrays are named "${full}"`);
      arrays.set(full, arrayOf(value, full, file));
    }
  }
  return { arrays, meta: null };
}

/**
 * All arrays of a file of parameters (a pickle of `{module: {name: array}}`, an .npz or a safetensors file) by
 * `module/name`, as f32, to be read one by one: for what has no model. Scalars have the shape [].
 * @throws FormatError for anything wrong with the file.
 */
export async function readHaiku(source: ByteSource): Promise<ReadonlyMap<string, Lazy>> {
  return named(source, async () => {
    const { arrays } = await open(randomAccess(source));
    return new Map([...arrays].map(([name, array]) => [name, lazy(array)]));
  });
}

/** A file of `saveHaiku`, or of others, which have only parameters. */
export interface HaikuFile {
  /** The parameters, with the model's tree paths. */
  readonly params: LazyTree;
  /** The trees that were written beside them. */
  readonly beside: { readonly [name: string]: LazyTree };
  readonly meta: Meta;
}

/**
 * Opens a file of a model's parameters (see `readHaiku`). Names and shapes are checked, and bytes that have to be
 * decoded are decoded once, before anything can be assigned; otherwise leaves are read when they are assigned.
 * @throws FormatError for anything wrong with the file, and for names or shapes that are not the model's.
 */
export async function openHaiku(source: ByteSource, model: HaikuNamed): Promise<HaikuFile> {
  return named(source, async () => {
    const { arrays, meta } = await open(randomAccess(source));
    checkNames(arrays, model, meta !== null);
    const params = specLeaves(model).map(({ path, leaf }) => {
      const array = arrays.get(model.names[path]!)!;
      if (`${array.shape}` === `${leaf.shape}` && array.shape.length === leaf.shape.length)
        return { path, array };
      throw new FormatError(
        `haiku: "${array.name}" is [${array.shape}] in the file, [${leaf.shape}] in the model`,
      );
    });
    for (const array of arrays.values()) if (array.encoded) await verify(array);
    const tree: Branch = Object.create(null);
    for (const { path, array } of params) place(tree, path, lazy(array), "haiku");
    const own = new Set(Object.values(model.names));
    const beside: Branch = Object.create(null);
    const toPath = renaming(allNames(model).map(([path, name]) => [name, path]));
    for (const [name, array] of arrays) {
      if (own.has(name)) continue;
      place(beside, toPath(name), lazy(array, { keepIntegers: true }), "haiku");
    }
    return { params: tree, beside, meta: meta ?? {} };
  });
}

/** A model's parameters from a file: `openHaiku(source, model).params`, to be assigned. */
export async function loadHaiku(source: ByteSource, model: HaikuNamed): Promise<LazyTree> {
  return (await openHaiku(source, model)).params;
}

const isSpec = (x: unknown): x is ParamSpec =>
  typeof x === "object" && x !== null && "init" in x && typeof x.init === "function";

function specLeaves({ spec, names }: HaikuNamed) {
  const found = collect(spec, isSpec);
  const nameless = found.find(({ path }) => !Object.hasOwn(names, path));
  if (nameless) throw new OptionError(`haiku: the model has no name for '${nameless.path}'`);
  return found;
}

/** At most a few, and how many more. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 120)));
  return `${shown.join(", ")}${names.length > 3 ? `, and ${names.length - 3} more` : ""}`;
}

function checkNames(arrays: Found["arrays"], model: HaikuNamed, besides: boolean): void {
  const own = specLeaves(model).map(({ path }) => model.names[path]!);
  const missing = own.filter((name) => !arrays.has(name));
  const known = new Set(own);
  const modules = new Set(own.map(firstModule));
  // What we wrote beside the parameters lies under names of its own.
  const unknown = [...arrays.keys()].filter(
    (name) => !known.has(name) && !(besides && !modules.has(firstModule(name))),
  );
  if (missing.length + unknown.length === 0) return;
  const parts = [];
  if (missing.length)
    parts.push(`${missing.length} of the model's ${own.length} are missing (${some(missing)})`);
  if (unknown.length)
    parts.push(`${unknown.length} of the file's ${arrays.size} are unknown (${some(unknown)})`);
  throw new FormatError(`haiku: the file has other parameters: ${parts.join("; ")}`);
}

const firstModule = (name: string): string => name.slice(0, Math.max(0, name.indexOf("/")));

/** Changes the end of a name by a table: the longest end that it has. */
function renaming(pairs: readonly (readonly [string, string])[]): (name: string) => string {
  const table = new Map(pairs);
  return (name) => {
    for (let at = 0; at >= 0; at = name.indexOf("/", at) + 1 || -1) {
      const to = table.get(name.slice(at));
      if (to !== undefined) return name.slice(0, at) + to;
    }
    return name;
  };
}

export interface HaikuOptions {
  /**
   * Trees that go beside the parameters under their own names: `{ opt: opt.state, ema: opt.ema }` gives arrays such
   * as `opt/momentum/NFNet/~/linear/w`. What in them has the tree paths of the parameters is named as these are.
   */
  readonly beside?: { readonly [name: string]: object };
  /** Anything that JSON holds, such as the step and the random key: the entry `nfgrad` of the file. */
  readonly meta?: Meta;
}

/** The tensors under the names that a file has for them. */
function namedTensors(params: object, model: HaikuNamed, beside: object): Map<string, Tensor> {
  const { names } = model;
  const tensors = new Map<string, Tensor>();
  const add = (name: string, tensor: Tensor) => {
    if (tensors.has(name) || name === META)
      throw new OptionError(`haiku: two entries would be named "${name}"`);
    tensors.set(name, tensor);
  };
  const found = leaves(params);
  const wanted = specLeaves(model).length;
  for (const { path, tensor } of found) {
    if (!Object.hasOwn(names, path))
      throw new OptionError(`haiku: the model has no parameter '${path}'`);
    add(names[path]!, tensor);
  }
  if (found.length !== wanted)
    throw new OptionError(`haiku: ${found.length} parameters are given, the model has ${wanted}`);
  const modules = new Set(Object.values(names).map(firstModule));
  const toName = renaming(allNames(model));
  for (const { path, tensor } of leaves(beside)) {
    const name = toName(path);
    const first = firstModule(name) || name;
    if (modules.has(first))
      throw new OptionError(`haiku: '${path}' beside the parameters has the model's name`);
    add(name, tensor);
  }
  return tensors;
}

/**
 * A file of a model's parameters under Haiku's names, as `{module: {name: array}}` flattened to `module/name`; an
 * .npz is read by `np.load` without pickles. `openHaiku` reads it, and Haiku's users can.
 * @throws OptionError for a tree that is not the model's.
 */
export async function saveHaiku(
  params: object,
  model: HaikuNamed,
  { format = "safetensors", beside = {}, meta = {} }: HaikuOptions & { format?: FileFormat } = {},
): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const tensors = namedTensors(params, model, beside);
  for await (const chunk of contents(tensors, meta, format)) parts.push(chunk);
  return new Blob(parts, { type: "application/octet-stream" });
}

/**
 * The same as a file that appears complete or not at all; its ending, .npz or .safetensors, says the format. Node only;
 * the values are those of the time of writing, so await it before the next training step.
 */
export async function writeHaiku(
  path: string,
  params: object,
  model: HaikuNamed,
  { beside = {}, meta = {} }: HaikuOptions = {},
): Promise<void> {
  const [, format] = /\.(npz|safetensors)$/.exec(path) ?? [];
  if (!format) throw new OptionError(`writeHaiku: "${path}" ends neither in .npz nor .safetensors`);
  const tensors = namedTensors(params, model, beside);
  await writeFile(path, contents(tensors, meta, format as FileFormat));
}
