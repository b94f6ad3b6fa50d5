// Writes zip archives of stored entries in pieces, zip64 where sizes need it.
import {
  ALL,
  CENTRAL,
  CENTRAL_BYTES,
  END,
  END_BYTES,
  END64,
  LOCAL,
  LOCAL_BYTES,
  LOCATOR64,
  UTF8,
} from "./zip.ts";

/** What is written of one entry. */
export interface ZipPart {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  readonly chunks: readonly Uint8Array<ArrayBuffer>[];
}

const DOS_DATE = 0x21; // 1980-01-01, as numpy writes it: equal contents are equal files

/** An archive of stored entries in pieces; sizes past 4 GiB and more than 65,534 entries as zip64. */
export async function* zipChunks(
  parts: AsyncIterable<ZipPart>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let at = 0;
  for await (const { name, size, crc, chunks } of parts) {
    const text = new TextEncoder().encode(name);
    const local = localHeader(text, size, crc);
    directory.push(centralHeader(text, size, crc, at));
    yield local;
    yield* chunks;
    at += local.length + size;
  }
  yield* directory;
  const length = directory.reduce((n, { length }) => n + length, 0);
  yield endOf(directory.length, length, at);
}

/** Fields that both headers have, from "version needed" to "extra length"; `wide` is the zip64 part. */
function common(
  view: DataView,
  at: number,
  name: Uint8Array,
  crc: number,
  size: number,
  wide: number,
) {
  const narrow = Math.min(size, ALL);
  view.setUint16(at, wide ? 45 : 20, true);
  view.setUint16(at + 2, UTF8, true);
  view.setUint16(at + 8, DOS_DATE, true);
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, narrow, true);
  view.setUint32(at + 18, narrow, true);
  view.setUint16(at + 22, name.length, true);
  view.setUint16(at + 24, wide, true);
}

function localHeader(name: Uint8Array, size: number, crc: number): Uint8Array<ArrayBuffer> {
  const wide = size >= ALL ? 20 : 0;
  const out = new Uint8Array(LOCAL_BYTES + name.length + wide);
  const view = new DataView(out.buffer);
  view.setUint32(0, LOCAL, true);
  common(view, 4, name, crc, size, wide);
  out.set(name, LOCAL_BYTES);
  if (wide) wideFields(view, LOCAL_BYTES + name.length, [size, size]);
  return out;
}

function centralHeader(name: Uint8Array, size: number, crc: number, at: number) {
  const fields = [...(size >= ALL ? [size, size] : []), ...(at >= ALL ? [at] : [])];
  const wide = fields.length ? 4 + 8 * fields.length : 0;
  const out = new Uint8Array(CENTRAL_BYTES + name.length + wide);
  const view = new DataView(out.buffer);
  view.setUint32(0, CENTRAL, true);
  view.setUint16(4, 45, true);
  common(view, 6, name, crc, size, wide);
  view.setUint32(42, Math.min(at, ALL), true);
  out.set(name, CENTRAL_BYTES);
  if (wide) wideFields(view, CENTRAL_BYTES + name.length, fields);
  return out;
}

function wideFields(view: DataView, at: number, fields: readonly number[]): void {
  view.setUint16(at, 1, true);
  view.setUint16(at + 2, 8 * fields.length, true);
  for (const [i, value] of fields.entries()) view.setBigUint64(at + 4 + 8 * i, BigInt(value), true);
}

function endOf(count: number, size: number, start: number): Uint8Array<ArrayBuffer> {
  const wide = count >= 0xffff || size >= ALL || start >= ALL;
  const out = new Uint8Array((wide ? 56 + 20 : 0) + END_BYTES);
  const view = new DataView(out.buffer);
  if (wide) {
    const big = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
    view.setUint32(0, END64, true);
    big(4, 44);
    view.setUint16(12, 45, true);
    view.setUint16(14, 45, true);
    big(24, count);
    big(32, count);
    big(40, size);
    big(48, start);
    view.setUint32(56, LOCATOR64, true);
    big(64, start + size);
    view.setUint32(72, 1, true);
  }
  const at = out.length - END_BYTES;
  view.setUint32(at, END, true);
  view.setUint16(at + 8, Math.min(count, 0xffff), true);
  view.setUint16(at + 10, Math.min(count, 0xffff), true);
  view.setUint32(at + 12, Math.min(size, ALL), true);
  view.setUint32(at + 16, Math.min(start, ALL), true);
  return out;
}
