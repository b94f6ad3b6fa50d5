// Zip archives and .npy arrays as others write them, and such as lie: for tests of reading.
import { deflateRawSync } from "node:zlib";
import { crc32 } from "../../src/io/crc32.ts";
import { join } from "./pickleWriter.ts";

const text = (s: string) => new TextEncoder().encode(s);

/** An .npy of version 1 with this literal as its header. */
export function npy(literal: string, data: Uint8Array, version = 1): Uint8Array {
  const head = text(`${literal}\n`);
  const length = new Uint8Array(version === 1 ? 2 : 4);
  new DataView(length.buffer).setUint8(0, head.length);
  return join([Uint8Array.of(0x93, ...text("NUMPY"), version, 0), length, head, data]);
}
export const literal = (descr: string, shape: string, order = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
export const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

export interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  /** What the directory says instead of the truth. */
  readonly size?: number;
  readonly crc?: number;
  readonly method?: number;
  readonly flags?: number;
  readonly header?: number;
  readonly localName?: string;
}

/** A zip as others write them: deflated entries, data descriptors, lies. */
export function zip(entries: readonly Entry[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const entry of entries) {
    const packed = entry.deflate ? deflateRawSync(entry.data) : entry.data;
    const method = entry.method ?? (entry.deflate ? 8 : 0);
    const size = entry.size ?? entry.data.length;
    const crc = entry.crc ?? crc32(entry.data);
    const local = new Uint8Array(30);
    const name = text(entry.localName ?? entry.name);
    const fields = (bytes: Uint8Array, at: number) => {
      const view = new DataView(bytes.buffer);
      view.setUint16(at, entry.flags ?? 0, true);
      view.setUint16(at + 2, method, true);
      view.setUint32(at + 8, crc, true);
      view.setUint32(at + 12, packed.length, true);
      view.setUint32(at + 16, size, true);
      view.setUint16(at + 20, name.length, true);
      return view;
    };
    fields(local, 6).setUint32(0, 0x04034b50, true);
    const central = new Uint8Array(46);
    const view = fields(central, 8);
    view.setUint32(0, 0x02014b50, true);
    view.setUint16(28, text(entry.name).length, true);
    view.setUint32(42, entry.header ?? at, true);
    directory.push(central, text(entry.name));
    parts.push(local, name, packed);
    at += 30 + name.length + packed.length;
  }
  const size = directory.reduce((n, { length }) => n + length, 0);
  const end = new Uint8Array(22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(10, entries.length, true);
  view.setUint32(12, size, true);
  view.setUint32(16, at, true);
  return join([...parts, ...directory, end]);
}
