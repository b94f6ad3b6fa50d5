// The safetensors format: a strict reader whose tensors are read one by one, and a writer. Knows files, not GPUs.
import { FormatError } from "../errors.ts";
import { type Dtype, decode, dtypeOf, type HostTensor, ITEM_BYTES, itemCount } from "./hostData.ts";
import { type ByteSource, exactly, randomAccess } from "./source.ts";

export type { Dtype, HostData, HostTensor } from "./hostData.ts";
export type { ByteSource, RandomAccess } from "./source.ts";

/** One tensor of an opened file; nothing of its data is in memory until `read` or `bytes`. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes are in the file, and how many. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** The stored little-endian bytes. */
  bytes(): Promise<Uint8Array>;
  /** The values as a typed array. */
  read(): Promise<HostTensor>;
}

export interface SafetensorsFile {
  /** In the order of the header. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** The strings under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The format's own limit; a larger length field is garbage rather than a header. */
const MAX_HEADER = 100_000_000;

/**
 * Opens a file: reads and checks its header, no data. Every byte of the data must belong to exactly one tensor.
 * Throws `FormatError` for anything that the format does not allow.
 */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const file = randomAccess(source);
  if (file.size < 8) bad(`expected at least 8 bytes, the file has ${file.size}`);
  const prefix = await exactly(file, 0, 8, "the header's length");
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (length > Math.min(file.size - 8, MAX_HEADER)) {
    bad(
      `the header claims ${length} bytes, the file has ${file.size} in all (limit ${MAX_HEADER})`,
    );
  }
  const header = parseHeader(await exactly(file, 8, length, "the header"));
  const start = 8 + length;
  const entries = new Map<string, SafetensorsEntry>();
  const ranges: { name: string; begin: number; end: number }[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      metadata = parseMetadata(value);
      continue;
    }
    const { dtype, shape, begin, end } = parseEntry(name, value);
    ranges.push({ name, begin, end });
    const bytes = () => exactly(file, start + begin, end - begin, `tensor ${quote(name)}`);
    const read = async () => ({ data: decode(await bytes(), dtype), shape });
    const place = { byteOffset: start + begin, byteLength: end - begin };
    entries.set(name, { name, dtype, shape, ...place, bytes, read });
  }
  checkRanges(ranges, file.size - start);
  return { entries, metadata };
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    bad("the header is not UTF-8");
  }
  if (!text.startsWith("{")) bad(`the header starts with ${quote(text.slice(0, 1))}, expected "{"`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    bad(`the header is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(value)) bad("the header is not a JSON object");
  return value;
}

function parseMetadata(value: unknown): Map<string, string> {
  if (!isRecord(value)) bad("__metadata__ is not an object of strings");
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string")
      bad(`__metadata__ ${quote(key)} is ${typeof text}, expected string`);
    metadata.set(key, text);
  }
  return metadata;
}

function parseEntry(name: string, value: unknown) {
  const what = `tensor ${quote(name)}`;
  if (!isRecord(value)) bad(`${what} is not an object`);
  const keys = Object.keys(value).sort().join(", ");
  if (keys !== "data_offsets, dtype, shape") {
    bad(`${what} has the keys ${keys || "(none)"}, expected data_offsets, dtype, shape`);
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(ITEM_BYTES, dtype)) {
    bad(`${what} has dtype ${quote(dtype)}, expected one of ${Object.keys(ITEM_BYTES).join(", ")}`);
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    bad(`${what} has shape ${quote(shape)}, expected a list of sizes`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    bad(`${what} has data_offsets ${quote(offsets)}, expected [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = itemCount(shape) * ITEM_BYTES[dtype as Dtype];
  if (end < begin || end - begin !== bytes) {
    bad(
      `${what} (${dtype} [${shape}]) takes ${bytes} bytes, data_offsets [${begin}, ${end}] differ`,
    );
  }
  return { dtype: dtype as Dtype, shape: shape as number[], begin, end };
}

/** The format allows neither overlaps nor holes: the ranges tile the data. */
function checkRanges(ranges: { name: string; begin: number; end: number }[], size: number): void {
  ranges.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of ranges) {
    if (end > size) {
      bad(
        `tensor ${quote(name)} ends at byte ${end} of the data, the file has ${size}: truncated?`,
      );
    }
    if (begin < at) bad(`tensor ${quote(name)} at [${begin}, ${end}] overlaps what ends at ${at}`);
    if (begin > at)
      bad(`nothing owns the data bytes ${at} to ${begin} before tensor ${quote(name)}`);
    at = end;
  }
  if (at !== size) bad(`the tensors end at byte ${at} of the data, the file has ${size}`);
}

/** What the header says of one tensor. */
export interface SafetensorsSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/**
 * The first bytes of a file with these tensors, and the order in which their data follow, without padding.
 * Wide types come first, so that each tensor's offset is a multiple of its item size.
 */
export function safetensorsHeader(
  specs: Iterable<SafetensorsSpec>,
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string> = {},
): { header: Uint8Array<ArrayBuffer>; order: SafetensorsSpec[]; size: number } {
  const order = [...specs].sort((a, b) => ITEM_BYTES[b.dtype] - ITEM_BYTES[a.dtype]);
  const names = new Set<string>();
  const fields: string[] = [];
  const strings = [...pairs(metadata)];
  // Written as text: an object literal would lose a tensor named `__proto__`.
  if (strings.length) fields.push(`"__metadata__":${jsonObject(strings)}`);
  let at = 0;
  for (const { name, dtype, shape } of order) {
    if (name === "__metadata__") bad("a tensor cannot be named __metadata__");
    if (names.has(name)) bad(`two tensors are named ${quote(name)}`);
    names.add(name);
    const end = at + itemCount(shape) * ITEM_BYTES[dtype];
    const entry = JSON.stringify({ dtype, shape, data_offsets: [at, end] });
    fields.push(`${JSON.stringify(name)}:${entry}`);
    at = end;
  }
  const text = new TextEncoder().encode(`{${fields.join(",")}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(text, 8);
  return { header, order, size: header.length + at };
}

/** A whole file in pieces: the header, then each tensor's bytes (views of the given data, not copies). */
export function safetensorsChunks(
  tensors: Readonly<Record<string, HostTensor>> | ReadonlyMap<string, HostTensor>,
  metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>,
): Uint8Array[] {
  const given = new Map(pairs(tensors));
  const specs = [...given].map(([name, { data, shape }]) => {
    if (data.length !== itemCount(shape)) {
      bad(`tensor ${quote(name)} of shape [${shape}] has ${data.length} elements`);
    }
    return { name, dtype: dtypeOf(data), shape };
  });
  const { header, order } = safetensorsHeader(specs, metadata);
  const bytesOf = (name: string) => {
    const { data } = given.get(name) as HostTensor;
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  };
  return [header, ...order.map(({ name }) => bytesOf(name))];
}

/** A whole file as one array of bytes. */
export function safetensorsBytes(
  ...args: Parameters<typeof safetensorsChunks>
): Uint8Array<ArrayBuffer> {
  const chunks = safetensorsChunks(...args);
  const out = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

function pairs<T>(given: Readonly<Record<string, T>> | ReadonlyMap<string, T>) {
  return given instanceof Map ? [...given] : (Object.entries(given) as [string, T][]);
}

function jsonObject(fields: readonly (readonly [string, string])[]): string {
  return `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)}}`;
}

const isSize = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const quote = (value: unknown) => JSON.stringify(value) ?? String(value);

function bad(message: string): never {
  throw new FormatError(`safetensors: ${message}`);
}
