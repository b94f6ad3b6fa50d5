// Arrays on the host as files store them: element types, their bytes, and typed arrays of them. Reads no files.

/** Element types of safetensors files that are understood. */
export type Dtype = keyof typeof ITEM_BYTES;

/** What a tensor of a file becomes: F16 and BF16 widen to f32, BOOL stays one byte an element. */
export type HostData =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array;

/** A tensor on the host; `data` in C order. */
export interface HostTensor {
  readonly data: HostData;
  readonly shape: readonly number[];
}

/** Bytes of one element. */
export const ITEM_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Little-endian bytes as a typed array of its own memory. */
export function decode(bytes: Uint8Array, dtype: Dtype): HostData {
  // A copy: offsets in the file need not be aligned. (`slice` of a Node Buffer would be a view.)
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return convert(new Uint16Array(buffer), halfToFloat);
    case "BF16": {
      const halves = new Uint16Array(buffer);
      const bits = new Uint32Array(halves.length);
      for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
      return new Float32Array(bits.buffer);
    }
    case "I64":
      return new BigInt64Array(buffer);
    case "U64":
      return new BigUint64Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "U16":
      return new Uint16Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer);
  }
}

/** Little-endian bytes as f32, rounded to the nearest; a view of them where that is possible. */
export function toFloats(bytes: Uint8Array, dtype: Dtype): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === "F32" && byteOffset % 4 === 0 && buffer instanceof ArrayBuffer)
    return new Float32Array(buffer, byteOffset, byteLength / 4);
  const data = decode(bytes, dtype);
  if (data instanceof Float32Array) return data as Float32Array<ArrayBuffer>;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return convert(data, Number);
  return Float32Array.from(data);
}

/** `Float32Array.from(values, change)`, which takes ten times as long. */
function convert<T extends number | bigint>(
  values: { readonly length: number; readonly [index: number]: T },
  change: (value: T) => number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = change(values[i]!);
  return out;
}

function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The element type of a typed array. */
export function dtypeOf(data: HostData): Dtype {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Uint32Array) return "U32";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Uint8Array) return "U8";
  if (data instanceof Int8Array) return "I8";
  if (data instanceof Uint16Array) return "U16";
  if (data instanceof Int16Array) return "I16";
  return data instanceof BigInt64Array ? "I64" : "U64";
}

/** Number of elements of a shape. */
export const itemCount = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
