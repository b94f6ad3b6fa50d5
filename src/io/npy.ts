// NumPy's names of element types and its .npy header, read and written. Runs nothing: the header is a Python literal,
// of which only what NumPy writes is understood.
import { FormatError } from "../errors.ts";
import { type Dtype, ITEM_BYTES, itemCount } from "./hostData.ts";

/** A NumPy element type: one of ours in some byte order, or text of a fixed length. */
export type NumpyType =
  | { readonly dtype: Dtype; readonly bigEndian: boolean }
  | { readonly characters: number; readonly bigEndian: boolean };

const KINDS: Readonly<Record<string, Dtype>> = {
  f2: "F16",
  f4: "F32",
  f8: "F64",
  i1: "I8",
  i2: "I16",
  i4: "I32",
  i8: "I64",
  u1: "U8",
  u2: "U16",
  u4: "U32",
  u8: "U64",
  b1: "BOOL",
  V2: "BF16", // what NumPy writes for ml_dtypes' bfloat16, which it does not know
};

/** `dtype.str`, such as `<f4`; a missing byte order is the machine's that wrote it, as good as always little. */
export function parseNumpyType(text: string, what: string): NumpyType {
  const [, order = "", kind = "", size = ""] = /^([<>|=]?)([A-Za-z?])(\d*)$/.exec(text) ?? [];
  const bigEndian = order === ">";
  if (kind === "U" && size !== "" && size.length < 10)
    return { characters: Number(size), bigEndian };
  const code = kind === "?" ? "b1" : `${kind}${size}`;
  if (kind !== "" && Object.hasOwn(KINDS, code)) return { dtype: KINDS[code]!, bigEndian };
  const reason = kind === "O" ? "Python objects" : `elements of type ${JSON.stringify(text)}`;
  throw new FormatError(`${what} holds ${reason}, expected numbers`);
}

export interface NpyHeader {
  readonly type: NumpyType;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** Where the data begin. */
  readonly length: number;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const MAX_HEADER = 64 << 10;
/** More axes than NumPy has. */
const MAX_AXES = 64;

/** Bytes that must be there to know the header's length. */
export const NPY_PREFIX = 12;

/** The length of the whole header, from its first 12 bytes. */
export function npyHeaderLength(bytes: Uint8Array, what: string): number {
  if (bytes.length < NPY_PREFIX || MAGIC.some((byte, i) => bytes[i] !== byte))
    throw new FormatError(`${what} is no .npy array`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6]!;
  if (version < 1 || version > 3)
    throw new FormatError(`${what} is .npy version ${version}, expected 1 to 3`);
  const length = version === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
  if (length <= MAX_HEADER) return length;
  throw new FormatError(`${what} has a .npy header of ${length} bytes (limit ${MAX_HEADER})`);
}

/** Parses a whole header: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`. */
export function parseNpyHeader(bytes: Uint8Array, what: string): NpyHeader {
  const text = new TextDecoder("latin1").decode(bytes.subarray(bytes[6] === 1 ? 10 : 12));
  const wrong = (): never => {
    throw new FormatError(
      `${what} has a .npy header that is not understood: ${JSON.stringify(text.slice(0, 120).trimEnd())}`,
    );
  };
  const body = /^\{(.*)\}[ \n]*$/s.exec(text)?.[1] ?? wrong();
  const fields = new Map<string, string>();
  const field = /\s*'(\w{1,20})'\s*:\s*('[^'\\]{0,20}'|True|False|\([\d,\sL]{0,2000}\))\s*(,|$)/y;
  while (field.lastIndex < body.length && body.slice(field.lastIndex).trim() !== "") {
    const [, key, value] = field.exec(body) ?? wrong();
    if (fields.has(key!)) wrong();
    fields.set(key!, value!);
  }
  const descr = fields.get("descr");
  const order = fields.get("fortran_order");
  const sizes = fields.get("shape");
  if (fields.size !== 3 || !descr?.startsWith("'") || !sizes?.startsWith("(")) return wrong();
  if (order !== "True" && order !== "False") return wrong();
  const parts = sizes
    .slice(1, -1)
    .split(",")
    .map((part) => part.trim());
  if (parts.at(-1) === "") parts.pop(); // "(3,)", "()"
  if (!parts.every((part) => /^\d{1,15}L?$/.test(part))) return wrong();
  const shape = checkSizes(
    parts.map((part) => Number.parseInt(part, 10)),
    what,
  );
  const type = parseNumpyType(descr.slice(1, -1), what);
  return { type, fortran: order === "True", shape, length: bytes.length };
}

/** @throws FormatError unless these are sizes whose product is a number of elements. */
export function checkSizes(sizes: readonly unknown[], what: string): number[] {
  const isSize = (size: unknown): size is number => Number.isSafeInteger(size) && Number(size) >= 0;
  if (sizes.length <= MAX_AXES && sizes.every(isSize) && Number.isSafeInteger(itemCount(sizes)))
    return [...sizes];
  throw new FormatError(`${what} has shape [${sizes.slice(0, 8)}], expected sizes`);
}

/** The header of a little-endian array in C order, padded so that the data begin at a multiple of 64 bytes. */
export function npyHeader(dtype: Dtype, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const code = Object.keys(KINDS).find((key) => KINDS[key] === dtype)!;
  return header(`${ITEM_BYTES[dtype] === 1 ? "|" : "<"}${code}`, shape);
}

/** A whole .npy of one text, as a scalar of Unicode. */
export function npyText(text: string): Uint8Array<ArrayBuffer> {
  const points = Array.from(text, (character) => character.codePointAt(0)!);
  if (points.length === 0) points.push(0); // NumPy has no text of length 0
  const begin = header(`<U${points.length}`, []);
  const out = new Uint8Array(begin.length + 4 * points.length);
  out.set(begin);
  const view = new DataView(out.buffer, begin.length);
  for (const [i, point] of points.entries()) view.setUint32(4 * i, point, true);
  return out;
}

/** The text of such an array's data. NumPy pads with zeros. */
export function parseText(bytes: Uint8Array, bigEndian: boolean, what: string): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: string[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const point = view.getUint32(at, !bigEndian);
    if (point > 0x10ffff) throw new FormatError(`${what} is text with the character ${point}`);
    parts.push(String.fromCodePoint(point));
  }
  return parts.join("").replace(/\0+$/, "");
}

function header(descr: string, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length).fill(0x20);
  bytes.set([...MAGIC, 1, 0]);
  new DataView(bytes.buffer).setUint16(8, length - 10, true);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes[length - 1] = 0x0a;
  return bytes;
}
