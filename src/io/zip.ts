// Zip archives: a strict reader by the central directory, zip64 included. Small enough to be our own: libraries need
// the whole archive in memory or read it front to back, and unpacking itself is the platform's DecompressionStream.
// Knows no arrays.
import { FormatError } from "../errors.ts";
import { crc32 } from "./crc32.ts";
import { exactly, pieces, type RandomAccess } from "./source.ts";

export interface ZipEntry {
  readonly name: string;
  /** Unpacked, in bytes. */
  readonly size: number;
  readonly crc: number;
  readonly deflated: boolean;
  /** Where its packed bytes are in the file, and how many. */
  readonly offset: number;
  readonly packedSize: number;
}

export const LOCAL = 0x04034b50;
export const CENTRAL = 0x02014b50;
export const END = 0x06054b50;
export const END64 = 0x06064b50;
export const LOCATOR64 = 0x07064b50;
export const LOCAL_BYTES = 30;
export const CENTRAL_BYTES = 46;
export const END_BYTES = 22;
const MAX_COMMENT = 0xffff;
/** A field that is all ones has its value in the zip64 part. */
export const ALL = 0xffffffff;
export const UTF8 = 0x800;
/** Bits that change nothing about the bytes: sizes in a data descriptor, the packer's effort, UTF-8 names. */
const KNOWN_FLAGS = 0x8 | 0x6 | UTF8;
/** Far above any archive of parameters. */
const MAX_ENTRIES = 1_000_000;
const MAX_DIRECTORY = 256 << 20;
/** Deflate cannot pack better than 1032 to 1. */
const MAX_RATIO = 1032;

function bad(message: string): never {
  throw new FormatError(`zip: ${message}`);
}

const viewOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function u64(view: DataView, at: number): number {
  const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return Number.isSafeInteger(value) ? value : bad(`a size of ${value}`);
}

/** Reads the directory of an archive, no data. Every entry is checked against the file and its local header. */
export async function readZip(file: RandomAccess): Promise<ZipEntry[]> {
  const { count, start, size } = await findDirectory(file);
  if (size > MAX_DIRECTORY || count > MAX_ENTRIES || size < count * CENTRAL_BYTES)
    bad(`a directory of ${count} entries in ${size} bytes`);
  const bytes = await exactly(file, start, size, "the zip directory");
  const found = parseDirectory(bytes, count);
  const entries: ZipEntry[] = [];
  const names = new Set<string>();
  for (const entry of found) {
    if (names.has(entry.name)) bad(`two entries are named "${entry.name}"`);
    names.add(entry.name);
  }
  let end = 0;
  found.sort((a, b) => a.header - b.header);
  for (const entry of found) {
    const offset = await dataOffset(file, entry, start);
    // Entries that share bytes are how a small archive unpacks to a huge one.
    if (entry.header < end) bad(`"${entry.name}" overlaps the entry before it`);
    end = offset + entry.packedSize;
    if (end > start) bad(`"${entry.name}" ends at byte ${end}, the directory starts at ${start}`);
    entries.push({ ...entry, offset });
  }
  return entries;
}

async function findDirectory(file: RandomAccess) {
  const length = Math.min(file.size, END_BYTES + MAX_COMMENT);
  const from = file.size - length;
  const tail = await exactly(file, from, length, "the zip's end");
  const view = viewOf(tail);
  let at = length - END_BYTES;
  const isEnd = (i: number) =>
    view.getUint32(i, true) === END && view.getUint16(i + 20, true) === length - i - END_BYTES;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) bad("there is no directory at the end: truncated?");
  const position = from + at;
  if (view.getUint16(at + 4, true) || view.getUint16(at + 6, true)) bad("it has several parts");
  let count = view.getUint16(at + 10, true);
  let size = view.getUint32(at + 12, true);
  let start = view.getUint32(at + 16, true);
  let end = position;
  const locatorAt = position - 20;
  if (count === 0xffff || size === ALL || start === ALL) {
    if (locatorAt < 0) bad("the zip64 part is missing");
    const locator = viewOf(await exactly(file, locatorAt, 20, "the zip64 locator"));
    if (locator.getUint32(0, true) !== LOCATOR64) bad("the zip64 part is missing");
    end = u64(locator, 8);
    if (end > locatorAt - 56) bad(`the zip64 directory end at byte ${end} lies outside`);
    const end64 = viewOf(await exactly(file, end, 56, "the zip64 directory end"));
    if (end64.getUint32(0, true) !== END64) bad("the zip64 part is missing");
    count = u64(end64, 32);
    size = u64(end64, 40);
    start = u64(end64, 48);
  }
  if (start + size !== end)
    bad(`the directory at bytes ${start} to ${start + size} does not end where it should (${end})`);
  return { count, start, size };
}

type Found = Omit<ZipEntry, "offset"> & { readonly header: number; readonly rawName: Uint8Array };

function parseDirectory(bytes: Uint8Array, count: number): Found[] {
  const view = viewOf(bytes);
  const found: Found[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > bytes.length || view.getUint32(at, true) !== CENTRAL)
      bad(`entry ${i} of the directory is not one`);
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + CENTRAL_BYTES + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) bad(`entry ${i} reaches past the directory's end`);
    const nameAt = at + CENTRAL_BYTES;
    const rawName = bytes.subarray(nameAt, nameAt + nameLength);
    const name = nameOf(rawName);
    if (flags & 1) bad(`"${name}" is encrypted`);
    if (flags & ~KNOWN_FLAGS) bad(`"${name}" has flags 0x${flags.toString(16)}`);
    if (method !== 0 && method !== 8) bad(`"${name}" is packed by method ${method}, not deflate`);
    const extra = bytes.subarray(nameAt + nameLength, nameAt + nameLength + extraLength);
    const wide = zip64Fields(extra, name);
    const field = (offset: number) => {
      const value = view.getUint32(at + offset, true);
      return value === ALL ? wide() : value;
    };
    const size = field(24); // in this order in the zip64 part
    const packedSize = field(20);
    const header = field(42);
    const deflated = method === 8;
    if (!deflated && packedSize !== size)
      bad(`"${name}" is stored in ${packedSize} bytes and says ${size}`);
    if (size > packedSize * MAX_RATIO)
      bad(`"${name}" says ${size} bytes, ${packedSize} packed bytes cannot hold them`);
    const crc = view.getUint32(at + 16, true);
    found.push({ name, rawName, size, crc, deflated, packedSize, header });
    at = next;
  }
  if (at !== bytes.length) bad(`the directory has ${bytes.length} bytes, its entries ${at}`);
  return found;
}

function nameOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bad("a name is not UTF-8");
  }
}

/** Gives the wide fields of an entry's extra part one after another. */
function zip64Fields(extra: Uint8Array, name: string): () => number {
  const view = viewOf(extra);
  let at = 0;
  let end = 0;
  for (let i = 0; i + 4 <= extra.length; i += 4 + view.getUint16(i + 2, true)) {
    if (view.getUint16(i, true) !== 1) continue;
    at = i + 4;
    end = Math.min(extra.length, at + view.getUint16(i + 2, true));
    break;
  }
  return () => {
    if (at + 8 > end) bad(`"${name}" lacks its zip64 sizes`);
    at += 8;
    return u64(view, at - 8);
  };
}

/** Where an entry's bytes begin. */
async function dataOffset(file: RandomAccess, entry: Found, directory: number): Promise<number> {
  const { name, rawName, header, deflated } = entry;
  const length = LOCAL_BYTES + rawName.length;
  if (header + length > directory) bad(`"${name}" at byte ${header} lies outside`);
  const bytes = await exactly(file, header, length, `the header of "${name}"`);
  const view = viewOf(bytes);
  const sameName =
    view.getUint16(26, true) === rawName.length &&
    rawName.every((byte, i) => bytes[LOCAL_BYTES + i] === byte);
  const method = view.getUint16(8, true);
  if (view.getUint32(0, true) !== LOCAL || !sameName || method !== (deflated ? 8 : 0))
    bad(`what lies at byte ${header} is not "${name}"`);
  return header + length + view.getUint16(28, true);
}

/** The unpacked bytes of an entry. @throws FormatError if they are not what the directory says. */
export async function* unzip(file: RandomAccess, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  const { name, size, deflated, offset, packedSize } = entry;
  const packed = pieces(file, offset, packedSize, `"${name}"`);
  let total = 0;
  let crc = 0;
  for await (const bytes of deflated ? inflate(packed, entry) : packed) {
    total += bytes.length;
    if (total > size) bad(`"${name}" says ${size} bytes and unpacks to more`);
    if (!deflated) crc = crc32(bytes, crc);
    yield bytes;
  }
  if (total !== size) bad(`"${name}" says ${size} bytes and unpacks to ${total}`);
  if (!deflated && crc !== entry.crc) bad(`"${name}" is damaged: its checksum differs`);
}

/** Unpacks as gzip, with its frame made from the directory: the platform then checks length and checksum itself. */
async function* inflate(
  packed: AsyncIterator<Uint8Array>,
  { name, size, crc }: ZipEntry,
): AsyncGenerator<Uint8Array> {
  const begin = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);
  const end = new Uint8Array(8);
  viewOf(end).setUint32(0, crc, true);
  viewOf(end).setUint32(4, size % 2 ** 32, true);
  let readFailed: unknown = null;
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(begin),
    async pull(controller) {
      try {
        const { done, value } = await packed.next();
        if (!done) return controller.enqueue(value);
        controller.enqueue(end);
        controller.close();
      } catch (error) {
        readFailed = error;
        throw error;
      }
    },
  });
  const unpacked = source.pipeThrough(
    new DecompressionStream("gzip") as unknown as TransformStream<Uint8Array, Uint8Array>,
  );
  const reader = unpacked.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (cause) {
    if (readFailed ?? cause instanceof FormatError) throw readFailed ?? cause;
    throw new FormatError(`zip: "${name}" is damaged: it does not unpack`, { cause });
  } finally {
    await reader.cancel().catch(() => {}); // already failed
  }
}
