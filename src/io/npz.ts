// .npz: arrays of NumPy in a zip archive, as `np.savez` and `np.savez_compressed` write them and `np.load` reads them,
// without pickles either way.
import { FormatError } from "../errors.ts";
import { crc32 } from "./crc32.ts";
import { type Dtype, type HostTensor, ITEM_BYTES, itemCount } from "./hostData.ts";
import {
  NPY_PREFIX,
  npyHeader,
  npyHeaderLength,
  npyText,
  parseNpyHeader,
  parseText,
} from "./npy.ts";
import { type ByteSource, named, type RandomAccess, randomAccess } from "./source.ts";
import { fortranAxes, read, type StoredArray } from "./storedArray.ts";
import { readZip, unzip, type ZipEntry } from "./zip.ts";
import { type ZipPart, zipChunks } from "./zipWriter.ts";

/** One array of an opened file; nothing of its data is in memory until `read`. */
export interface NpzEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The values in C order, in the stored element type; F16 and BF16 widen to f32. */
  read(): Promise<HostTensor>;
}

/** Texts are small: settings, not data. */
const MAX_TEXT = 16 << 20;

/**
 * Opens an .npz: its directory and the headers of its arrays, in the order of the file. Scalars of text come as they
 * are. Throws `FormatError` for arrays of objects, which are pickles, and for anything damaged.
 */
export async function readNpz(
  source: ByteSource,
): Promise<{ entries: ReadonlyMap<string, NpzEntry>; texts: ReadonlyMap<string, string> }> {
  return named(source, async () => {
    const { arrays, texts } = await openNpz(randomAccess(source));
    const entries = new Map<string, NpzEntry>();
    for (const [name, array] of arrays) {
      const { dtype, shape } = array;
      entries.set(name, { name, dtype, shape, read: () => read(array) });
    }
    return { entries, texts };
  });
}

/** The arrays of an .npz by name, unread, and its texts. */
export async function openNpz(file: RandomAccess) {
  const arrays = new Map<string, StoredArray>();
  const texts = new Map<string, string>();
  for (const entry of await readZip(file)) {
    if (!entry.name.endsWith(".npy"))
      throw new FormatError(`npz: "${entry.name}" is no array; its name does not end in .npy`);
    const name = entry.name.slice(0, -4);
    const what = `npz: "${name}"`;
    const { type, fortran, shape, length } = parseNpyHeader(await start(file, entry, what), what);
    const stream = () => behind(unzip(file, entry), length);
    const item = "dtype" in type ? ITEM_BYTES[type.dtype] : 4 * type.characters;
    const bytes = item * itemCount(shape);
    if (length + bytes !== entry.size)
      throw new FormatError(
        `${what} of shape [${shape}] takes ${bytes} bytes, the file has ${entry.size - length}`,
      );
    if ("dtype" in type) {
      const axes = fortran ? fortranAxes(shape) : null;
      arrays.set(name, { name, file: file.name, ...type, shape, axes, encoded: true, stream });
      continue;
    }
    if (shape.length > 0 || bytes > MAX_TEXT)
      throw new FormatError(`${what} is text of shape [${shape}], expected numbers`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream()) chunks.push(chunk);
    texts.set(name, parseText(join(chunks, bytes), type.bigEndian, what));
  }
  return { arrays, texts };
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** The .npy header at an entry's start. */
async function start(file: RandomAccess, entry: ZipEntry, what: string): Promise<Uint8Array> {
  let bytes: Uint8Array = new Uint8Array(0);
  let needed = NPY_PREFIX;
  // Of a stored entry only its first bytes are read; a deflated one is unpacked from the front.
  const head = entry.deflated
    ? unzip(file, entry)
    : [await file.read(entry.offset, Math.min(entry.size, 1024))];
  for await (const piece of head) {
    bytes = bytes.length ? join([bytes, piece], bytes.length + piece.length) : piece;
    if (bytes.length >= NPY_PREFIX) needed = npyHeaderLength(bytes, what);
    if (bytes.length >= needed) break;
  }
  if (bytes.length < needed && !entry.deflated && needed <= entry.size)
    bytes = await file.read(entry.offset, needed);
  if (bytes.length < needed) throw new FormatError(`${what} is no .npy array: it is too short`);
  return bytes.subarray(0, needed);
}

/** A stream without its first bytes. */
async function* behind(stream: AsyncIterable<Uint8Array>, skip: number) {
  let left = skip;
  for await (const piece of stream) {
    if (piece.length > left) yield piece.subarray(left);
    left = Math.max(0, left - piece.length);
  }
}

/** An .npz of these arrays, whose little-endian bytes `data` gives in the same order, and of texts, in pieces. */
export function npzChunks(
  specs: readonly {
    readonly name: string;
    readonly dtype: Dtype;
    readonly shape: readonly number[];
  }[],
  data: AsyncIterable<Uint8Array<ArrayBuffer>>,
  texts: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const part = (name: string, ...chunks: Uint8Array<ArrayBuffer>[]): ZipPart => {
    const crc = chunks.reduce((sum, chunk) => crc32(chunk, sum), 0);
    const size = chunks.reduce((sum, { length }) => sum + length, 0);
    return { name: `${name}.npy`, size, crc, chunks };
  };
  async function* parts() {
    for (const [name, text] of Object.entries(texts)) yield part(name, npyText(text));
    let i = 0;
    for await (const bytes of data) {
      const { name, dtype, shape } = specs[i++]!;
      yield part(name, npyHeader(dtype, shape), bytes);
    }
  }
  return zipChunks(parts());
}
