// Named tensors in files: what goes beside them, trees of their names, and a file's contents in pieces. Both the
// checkpoints of trees and those under Haiku's names are made of this.
import type { Lazy, LazyTree } from "../core/host.ts";
import type { Tensor } from "../core/tensor.ts";
import { FormatError } from "../errors.ts";
import { npzChunks } from "./npz.ts";
import { readSafetensors, type SafetensorsSpec, safetensorsHeader } from "./safetensors.ts";
import type { RandomAccess } from "./source.ts";
import { plainBytes, type StoredArray } from "./storedArray.ts";

/** What goes beside the tensors: anything that JSON holds. */
export type Meta = Readonly<Record<string, unknown>>;
export type FileFormat = "safetensors" | "npz";

/** Under this name a file holds its `Meta`, as JSON. */
export const META = "nfgrad";
/** Tensors are read back in groups of about this size: few waits, little memory. */
const GROUP_BYTES = 32 << 20;

export interface Branch {
  [name: string]: LazyTree;
}
const isBranch = (node: LazyTree | undefined): node is Branch =>
  node !== undefined && Object.getPrototypeOf(node) === null;

/** Puts a leaf under a path. Branches have no prototype: a name like `__proto__` is one like any other. */
export function place(root: Branch, path: string, leaf: Lazy, what: string): void {
  const keys = path.split("/");
  const last = keys.pop()!;
  let branch = root;
  for (const key of keys) {
    branch[key] ??= Object.create(null) as Branch;
    const next = branch[key];
    if (!isBranch(next)) throw new FormatError(`${what}: "${path}" lies below another tensor`);
    branch = next;
  }
  if (branch[last]) throw new FormatError(`${what}: "${path}" is a tensor and holds others`);
  branch[last] = leaf;
}

/** The object that was written beside the tensors; null for a file of somebody else. */
export function parseMeta(text: string | undefined): Meta | null {
  if (text === undefined) return null;
  let meta: unknown;
  try {
    meta = JSON.parse(text);
  } catch {
    throw new FormatError(`the "${META}" entry beside the tensors is not JSON`);
  }
  if (typeof meta === "object" && meta !== null && !Array.isArray(meta)) return meta as Meta;
  throw new FormatError(`the "${META}" entry beside the tensors is not a JSON object`);
}

/** The tensors of a safetensors file, with the strings beside them. */
export async function openSafetensors(file: RandomAccess) {
  const { entries, metadata } = await readSafetensors(file);
  const arrays = new Map<string, StoredArray>();
  for (const { name, dtype, shape, byteOffset, byteLength } of entries.values()) {
    const stream = plainBytes(file, byteOffset, byteLength, `tensor "${name}"`);
    const order = { bigEndian: false, axes: null, encoded: false };
    arrays.set(name, { name, file: file.name, dtype, shape, ...order, stream });
  }
  return { arrays, metadata };
}

const asBytes = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** The bytes of tensors, in order. */
async function* values(tensors: readonly Tensor[]): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let group: Tensor[] = [];
  let bytes = 0;
  for (const [i, tensor] of tensors.entries()) {
    group.push(tensor);
    bytes += 4 * tensor.size;
    if (bytes < GROUP_BYTES && i < tensors.length - 1) continue;
    for (const data of await Promise.all(group.map((t) => t.data()))) yield asBytes(data);
    group = [];
    bytes = 0;
  }
}

/** A file of these tensors and `meta`, in pieces. @throws FormatError without any tensor. */
export async function* contents(
  tensors: ReadonlyMap<string, Tensor>,
  meta: Meta,
  format: FileFormat,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (tensors.size === 0) throw new FormatError("checkpoint: the tree holds no tensor");
  const specs = [...tensors].map(([name, { shape, dtype }]): SafetensorsSpec => {
    return { name, shape, dtype: dtype === "u32" ? "U32" : "F32" };
  });
  const text = JSON.stringify(meta);
  if (format === "npz") {
    yield* npzChunks(specs, values([...tensors.values()]), { [META]: text });
    return;
  }
  const { header, order } = safetensorsHeader(specs, { [META]: text });
  yield header;
  yield* values(order.map(({ name }) => tensors.get(name)!));
}
