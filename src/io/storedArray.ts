// Arrays as files hold them, of any element type, byte order and axis order, and how they become values: read piece
// by piece, so that no array is in memory as a whole unless it is asked for. Knows no file format.
import type { HostArray, Lazy } from "../core/host.ts";
import { FormatError } from "../errors.ts";
import {
  type Dtype,
  decode,
  type HostTensor,
  ITEM_BYTES,
  itemCount,
  toFloats,
} from "./hostData.ts";
import { inFile, pieces, type RandomAccess } from "./source.ts";

/** An array that lies in a file. Its shape and element type are known; nothing of its data is in memory. */
export interface StoredArray {
  readonly name: string;
  /** The file's name for error messages, if it has one. */
  readonly file: string | undefined;
  readonly dtype: Dtype;
  readonly bigEndian: boolean;
  readonly shape: readonly number[];
  /** Null: in C order. Else axis i of the shape is axis `axes[i]` of what lies there in C order. */
  readonly axes: readonly number[] | null;
  /** Its bytes in order, in pieces of any length. @throws FormatError for bytes that the file does not have. */
  stream(): AsyncIterable<Uint8Array>;
  /** The bytes have to be decoded, so that only reading tells whether they are all there and right. */
  readonly encoded: boolean;
}

/** Bytes of an array. */
export const byteLength = ({ dtype, shape }: Pick<StoredArray, "dtype" | "shape">): number =>
  ITEM_BYTES[dtype] * itemCount(shape);

/** Axis order of an array that is stored with its first axis fastest; null where that is the same. */
export const fortranAxes = (shape: readonly number[]): number[] | null =>
  shape.length < 2 ? null : shape.map((_, i) => shape.length - 1 - i);

/** The bytes of a range of `file`, as they lie there. */
export const plainBytes =
  (file: RandomAccess, offset: number, length: number, what: string) => () =>
    pieces(file, offset, length, what);

/** Whole little-endian elements, exactly as many as the shape says. */
async function* elements(array: StoredArray): AsyncGenerator<Uint8Array> {
  try {
    yield* wholeElements(array);
  } catch (error) {
    throw inFile(array.file, error);
  }
}

async function* wholeElements(array: StoredArray): AsyncGenerator<Uint8Array> {
  const item = ITEM_BYTES[array.dtype];
  const expected = byteLength(array);
  let rest = new Uint8Array(0);
  let total = 0;
  for await (const piece of array.stream()) {
    total += piece.length;
    if (total > expected) break;
    let bytes = piece;
    if (rest.length) {
      bytes = new Uint8Array(rest.length + piece.length);
      bytes.set(rest);
      bytes.set(piece, rest.length);
    }
    const whole = bytes.length - (bytes.length % item);
    rest = bytes.slice(whole);
    if (whole)
      yield array.bigEndian ? swapped(bytes.subarray(0, whole), item) : bytes.subarray(0, whole);
  }
  if (total === expected) return;
  throw new FormatError(
    `"${array.name}" (${array.dtype} [${array.shape}]) takes ${expected} bytes, ` +
      `there are ${total > expected ? "more" : total}`,
  );
}

/** A copy with the bytes of each element reversed. */
function swapped(bytes: Uint8Array, item: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += item)
    for (let i = 0; i < item; i++) out[at + i] = bytes[at + item - 1 - i]!;
  return out;
}

/** @throws FormatError if the bytes are not all there, or do not decode. */
export async function verify(array: StoredArray): Promise<void> {
  for await (const _ of elements({ ...array, bigEndian: false }));
}

/** The values in order: f32, or u32 for a u32 array that is to stay one. */
async function* values(array: StoredArray, keepIntegers: boolean): AsyncGenerator<HostArray> {
  const { dtype, axes, shape } = array;
  const convert = (bytes: Uint8Array): HostArray =>
    keepIntegers && dtype === "U32" ? (decode(bytes, "U32") as HostArray) : toFloats(bytes, dtype);
  if (!axes) {
    for await (const bytes of elements(array)) yield convert(bytes);
    return;
  }
  const whole = await collect(elements(array), byteLength(array));
  yield transpose(convert(whole), shape, axes);
}

/** All pieces as one; to the end, which is where checksums are compared. */
async function collect(stream: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  let whole: Uint8Array | null = null;
  let at = 0;
  for await (const bytes of stream) {
    at += bytes.length;
    if (bytes.length === size)
      whole = bytes; // one piece: no copy
    else {
      whole ??= new Uint8Array(size);
      whole.set(bytes, at - bytes.length);
    }
  }
  return whole ?? new Uint8Array(0);
}

interface Values {
  readonly length: number;
  [index: number]: number | bigint;
  slice(): this;
}

/** In C order of `shape`, from values in C order of the stored axes. */
function transpose<T extends Values>(
  from: T,
  shape: readonly number[],
  axes: readonly number[],
): T {
  const to = from.slice();
  const stored: number[] = [];
  for (const [i, axis] of axes.entries()) stored[axis] = shape[i]!;
  const strides = stored.map((_, i) => itemCount(stored.slice(i + 1)));
  const steps = axes.map((axis) => strides[axis]!);
  const index = shape.map(() => 0);
  let at = 0;
  for (let i = 0; i < to.length; i++) {
    to[i] = from[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += steps[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= steps[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return to;
}

/**
 * What `gpu.assign` reads: f32 whatever is stored, but for u32 with `keepIntegers`. Integers and doubles round to the
 * nearest f32.
 */
export function lazy(array: StoredArray, { keepIntegers = false } = {}): Lazy {
  const { shape, dtype } = array;
  const make = () => values(array, keepIntegers);
  return {
    shape,
    dtype: keepIntegers && dtype === "U32" ? "u32" : "f32",
    pieces: make,
    async read() {
      const count = itemCount(shape);
      const whole =
        keepIntegers && dtype === "U32" ? new Uint32Array(count) : new Float32Array(count);
      let at = 0;
      for await (const piece of make()) {
        whole.set(piece, at);
        at += piece.length;
      }
      return whole;
    },
  };
}

/** The values in the stored element type. */
export async function read(array: StoredArray): Promise<HostTensor> {
  const { dtype, shape, axes } = array;
  const data = decode(await collect(elements(array), byteLength(array)), dtype);
  return { data: axes ? (transpose(data as Values, shape, axes) as typeof data) : data, shape };
}
