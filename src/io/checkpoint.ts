// Checkpoints: any tree of tensors in one safetensors file under its tree paths, with a JSON object beside them.
// Not Haiku's names or pickles; those are translated elsewhere.
import { writeFile } from "#platform";
import type { Lazy, LazyTree } from "../core/host.ts";
import type { Tensor } from "../core/tensor.ts";
import { leaves } from "../core/tree.ts";
import { FormatError } from "../errors.ts";
import {
  type ByteSource,
  readSafetensors,
  type SafetensorsEntry,
  safetensorsHeader,
} from "./safetensors.ts";

export { openFile } from "#platform";

/** What goes beside the tensors: anything that JSON holds. */
export type Meta = Readonly<Record<string, unknown>>;

const META = "nfgrad";
/** Tensors are read back in groups of about this size: few waits, little memory. */
const GROUP_BYTES = 32 << 20;

const asBytes = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

async function* chunks(tree: unknown, meta: Meta): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const tensors = new Map(leaves(tree).map(({ path, tensor }) => [path, tensor]));
  if (tensors.size === 0) throw new FormatError("checkpoint: the tree holds no tensor");
  const specs = [...tensors].map(([name, { shape, dtype }]) => {
    return { name, shape, dtype: dtype === "u32" ? ("U32" as const) : ("F32" as const) };
  });
  const { header, order } = safetensorsHeader(specs, { [META]: JSON.stringify(meta) });
  yield header;
  let group: Tensor[] = [];
  let bytes = 0;
  for (const [i, { name }] of order.entries()) {
    const tensor = tensors.get(name)!;
    group.push(tensor);
    bytes += 4 * tensor.size;
    if (bytes < GROUP_BYTES && i < order.length - 1) continue;
    for (const data of await Promise.all(group.map((t) => t.data()))) yield asBytes(data);
    group = [];
    bytes = 0;
  }
}

/**
 * Writes the tensors of `tree` to a file that appears complete or not at all. Node only; the values are those
 * of the time of writing, so await it before the next training step.
 * @param meta anything that JSON holds; `load` gives it back
 */
export const writeCheckpoint = (path: string, tree: object, meta: Meta = {}): Promise<void> =>
  writeFile(path, chunks(tree, meta));

/** The same file as a Blob. */
export async function save(tree: object, meta: Meta = {}): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunks(tree, meta)) parts.push(chunk);
  return new Blob(parts, { type: "application/octet-stream" });
}

/**
 * Opens a checkpoint, or any safetensors file of f32, f16, bf16 and u32 tensors: names are split at "/" into a
 * tree whose leaves are read when they are assigned. Throws FormatError for anything wrong with the file.
 */
export async function load(
  source: ByteSource & { readonly name?: string },
): Promise<{ tensors: { readonly [name: string]: LazyTree }; meta: Meta }> {
  const named = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      const { name } = source;
      if (!(cause instanceof FormatError) || !name || cause.message.startsWith(name)) throw cause;
      throw new FormatError(`${name}: ${cause.message}`, { cause });
    }
  };
  return named(async () => {
    const { entries, metadata } = await readSafetensors(source);
    const tensors: Branch = Object.create(null);
    for (const entry of entries.values()) place(tensors, entry.name, lazy(entry, named));
    return { tensors, meta: parseMeta(metadata) };
  });
}

interface Branch {
  [name: string]: LazyTree;
}
const isBranch = (node: LazyTree | undefined): node is Branch =>
  node !== undefined && Object.getPrototypeOf(node) === null;

/** Branches have no prototype: a name like `__proto__` is one like any other. */
function place(root: Branch, name: string, leaf: Lazy): void {
  const path = name.split("/");
  const last = path.pop()!;
  let branch = root;
  for (const key of path) {
    branch[key] ??= Object.create(null) as Branch;
    const next = branch[key];
    if (!isBranch(next)) throw new FormatError(`checkpoint: "${name}" lies below another tensor`);
    branch = next;
  }
  if (branch[last]) throw new FormatError(`checkpoint: "${name}" is a tensor and holds others`);
  branch[last] = leaf;
}

function lazy(entry: SafetensorsEntry, named: <T>(work: () => Promise<T>) => Promise<T>): Lazy {
  const { name, shape, dtype } = entry;
  if (!["F32", "F16", "BF16", "U32"].includes(dtype))
    throw new FormatError(`checkpoint: "${name}" is ${dtype}, a tensor here is f32 or u32`);
  const read = () =>
    named(
      async () => (await entry.read()).data as Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
    );
  return { shape, dtype: dtype === "U32" ? "u32" : "f32", read };
}

function parseMeta(metadata: ReadonlyMap<string, string>): Meta {
  const text = metadata.get(META);
  if (text === undefined) return Object.fromEntries(metadata);
  try {
    return JSON.parse(text);
  } catch {
    throw new FormatError(`checkpoint: the "${META}" entry of __metadata__ is not JSON`);
  }
}
