// Checkpoints: any tree of tensors in one safetensors file under its tree paths, with a JSON object beside them.
// Not Haiku's names or pickles; those are translated elsewhere.
import { writeFile } from "#platform";
import type { LazyTree } from "../core/host.ts";
import { leaves } from "../core/tree.ts";
import { FormatError } from "../errors.ts";
import {
  type Branch,
  contents,
  META,
  type Meta,
  openSafetensors,
  parseMeta,
  place,
} from "./named.ts";
import { type ByteSource, named, randomAccess } from "./source.ts";
import { lazy } from "./storedArray.ts";

export { openFile } from "#platform";

export type { Meta } from "./named.ts";

const chunks = (tree: object, meta: Meta) =>
  contents(new Map(leaves(tree).map(({ path, tensor }) => [path, tensor])), meta, "safetensors");

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
  source: ByteSource,
): Promise<{ tensors: { readonly [name: string]: LazyTree }; meta: Meta }> {
  return named(source, async () => {
    const { arrays, metadata } = await openSafetensors(randomAccess(source));
    const tensors: Branch = Object.create(null);
    for (const array of arrays.values()) {
      const { name, dtype } = array;
      if (!["F32", "F16", "BF16", "U32"].includes(dtype))
        throw new FormatError(`checkpoint: "${name}" is ${dtype}, a tensor here is f32 or u32`);
      place(tensors, name, lazy(array, { keepIntegers: true }), "checkpoint");
    }
    return { tensors, meta: parseMeta(metadata.get(META)) ?? Object.fromEntries(metadata) };
  });
}
