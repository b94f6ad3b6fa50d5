// Writes the pickles that NumPy and Haiku make of `{module: {name: array}}`, piece by piece, so that tests and the
// measurement of loading have files of any size without Python.

export interface Leaf {
  readonly shape: readonly number[];
  /** Little-endian f32, in pieces. */
  readonly data: () => Iterable<Uint8Array>;
}
export type HaikuTree = Readonly<Record<string, Readonly<Record<string, Leaf>>>>;

const utf8 = new TextEncoder();
const one = (...values: number[]) => Uint8Array.from(values);

/** The pickle's operations for what this file needs, as bytes. */
export const op = {
  proto: (version: number) => one(0x80, version),
  stop: one(0x2e),
  mark: one(0x28),
  none: one(0x4e),
  false: one(0x89),
  dict: one(0x7d),
  list: one(0x5d),
  tuple: one(0x74),
  tuple1: one(0x85),
  tuple2: one(0x86),
  tuple3: one(0x87),
  setItem: one(0x73),
  setItems: one(0x75),
  append: one(0x61),
  reduce: one(0x52),
  build: one(0x62),
  memoize: one(0x94),
  put: (index: number) => head(0x72, 4, index),
  get: (index: number) => head(0x6a, 4, index),
  int: (value: number) => {
    const out = new Uint8Array(5).fill(0x4a, 0, 1);
    new DataView(out.buffer).setInt32(1, value, true);
    return out;
  },
  text: (text: string) => join([head(0x58, 4, utf8.encode(text).length), utf8.encode(text)]),
  bytes: (length: number) => (length < 2 ** 32 ? head(0x42, 4, length) : head(0x8e, 8, length)),
  global: (module: string, name: string) => utf8.encode(`c${module}\n${name}\n`),
};

function head(code: number, size: 4 | 8, value: number): Uint8Array {
  const out = new Uint8Array(1 + size);
  out[0] = code;
  const view = new DataView(out.buffer);
  if (size === 4) view.setUint32(1, value, true);
  else view.setBigUint64(1, BigInt(value), true);
  return out;
}

export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, { length }) => n + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const ARRAY = [
  op.global("numpy.core.multiarray", "_reconstruct"),
  op.global("numpy", "ndarray"),
  op.int(0),
  op.tuple1,
  op.bytes(1),
  utf8.encode("b"),
  op.tuple3,
  op.reduce,
];
const DTYPE = [
  ...[op.global("numpy", "dtype"), op.text("f4"), op.int(0), op.int(1), op.tuple3, op.reduce],
  ...[op.mark, op.int(3), op.text("<"), op.none, op.none, op.none, op.int(-1), op.int(-1)],
  ...[op.int(0), op.tuple, op.build],
];

/** UTF-8 of the bytes as characters: what protocol 2 has for bytes. */
function asText(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 * bytes.length);
  let at = 0;
  for (const byte of bytes) {
    if (byte >= 0x80) out[at++] = 0xc0 | (byte >> 6);
    out[at++] = byte < 0x80 ? byte : 0x80 | (byte & 0x3f);
  }
  return out.slice(0, at);
}

function* arrayBytes({ data }: Leaf, protocol: number): Generator<Uint8Array> {
  let length = 0;
  if (protocol > 2) {
    for (const piece of data()) length += piece.length;
    yield op.bytes(length);
    yield* data();
    return;
  }
  for (const piece of data()) length += asText(piece).length;
  yield op.global("_codecs", "encode");
  yield head(0x58, 4, length);
  for (const piece of data()) yield asText(piece);
  yield join([op.text("latin1"), op.tuple2, op.reduce]);
}

/** The whole file in pieces: protocol 2 or 4. */
export function* pickleOf(tree: HaikuTree, protocol: 2 | 4): Generator<Uint8Array> {
  yield join([op.proto(protocol), op.dict, op.put(0), op.mark]);
  let first = true;
  for (const [module, arrays] of Object.entries(tree)) {
    yield join([op.text(module), op.dict, op.mark]);
    for (const [name, leaf] of Object.entries(arrays)) {
      yield join([op.text(name), ...ARRAY, op.mark, op.int(1)]);
      yield join([op.mark, ...leaf.shape.map(op.int), op.tuple]);
      yield join(first ? [...DTYPE, op.put(1)] : [op.get(1)]);
      first = false;
      yield op.false;
      yield* arrayBytes(leaf, protocol);
      yield join([op.tuple, op.build]);
    }
    yield op.setItems;
  }
  yield join([op.setItems, op.stop]);
}

/** A model's parameters as such a tree; element i of all of them is a simple function of i. */
export function treeOf(model: {
  readonly names: Readonly<Record<string, string>>;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}): HaikuTree {
  const tree: Record<string, Record<string, Leaf>> = {};
  let at = 0;
  for (const [path, name] of Object.entries(model.names)) {
    const cut = name.lastIndexOf("/");
    const shape = model.shapes[path]!;
    const count = shape.reduce((a, b) => a * b, 1);
    const start = at;
    at += count;
    const module = name.slice(0, cut);
    tree[module] ??= {};
    tree[module][name.slice(cut + 1)] = { shape, data: () => ramp(start, count) };
  }
  return tree;
}

const PIECE = 1 << 20;

/** Value of element i of all parameters: 24 bits, so that neighbours and far ones differ. */
export const rampAt = (i: number): number => (Math.imul(i, 0x9e3779b1) >>> 8) / 2 ** 24 - 0.5;

function* ramp(start: number, count: number): Generator<Uint8Array> {
  for (let from = 0; from < count; from += PIECE) {
    const values = new Float32Array(Math.min(PIECE, count - from));
    for (let i = 0; i < values.length; i++) values[i] = rampAt(start + from + i);
    yield new Uint8Array(values.buffer);
  }
}
