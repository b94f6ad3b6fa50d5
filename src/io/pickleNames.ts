// What a pickle of parameters may call: NumPy's arrays of versions 1 and 2, JAX's old and new, dill's wrapper,
// Haiku's mappings. Exact names, since a prefix such as "numpy." would let in functions that run text as a program.
// Each makes a plain value; an array only notes where its bytes lie.
import { FormatError } from "../errors.ts";
import { type Dtype, ITEM_BYTES, itemCount } from "./hostData.ts";
import { checkSizes, parseNumpyType } from "./npy.ts";
import {
  type Bytes,
  type Dict,
  describe,
  type Global,
  type List,
  type Made,
  type Names,
  type Value,
} from "./pickleValues.ts";
import { pieces, type RandomAccess, randomAccess } from "./source.ts";
import { fortranAxes, plainBytes, type StoredArray } from "./storedArray.ts";

interface ElementType extends Made {
  readonly element: { dtype: Dtype; bigEndian: boolean };
}
/** An array; without `stored` one whose data have yet to come. */
interface ArrayValue extends Made {
  stored: Omit<StoredArray, "name" | "file"> | null;
}

/** No call, state or shape has more parts. */
const MAX_TUPLE = 64;

function bad(message: string): never {
  throw new FormatError(`pickle: ${message}`);
}

const is = <K extends string>(value: Value | undefined, kind: K) =>
  typeof value === "object" && value !== null && value.kind === kind;

function textOf(value: Value | undefined, what: string): string {
  if (typeof value === "object" && value?.kind === "text" && value.value !== null)
    return value.value;
  return bad(`${what} is ${describe(value)}, expected text`);
}

function tupleOf(value: Value | undefined, what: string): readonly Value[] {
  if (!is(value, "tuple")) return bad(`${what} is ${describe(value)}, expected a tuple`);
  const { items } = value as List;
  // A file may use one long tuple any number of times.
  if (items.length > MAX_TUPLE) bad(`${what} is a tuple of ${items.length}`);
  return items;
}

function bytesOf(value: Value | undefined, what: string): Bytes {
  if (is(value, "bytes")) return value as Bytes;
  return bad(`${what} is ${describe(value)}, expected bytes`);
}

function boolOf(value: Value | undefined, what: string): boolean {
  if (value === true || value === 1) return true;
  if (value === false || value === 0) return false;
  return bad(`${what} is ${describe(value)}, expected true or false`);
}

function elementOf(value: Value | undefined): ElementType["element"] {
  if (is(value, "made") && "element" in (value as Made)) return (value as ElementType).element;
  return bad(`${describe(value)} where a dtype is expected`);
}

/** `numpy.dtype(name, align, copy)`; its BUILD says the byte order. */
function dtype(args: readonly Value[]): ElementType {
  const [given] = args;
  const isBfloat16 = is(given, "global") && (given as Global).name === BFLOAT16;
  const type = parseNumpyType(isBfloat16 ? "V2" : textOf(given, "a dtype"), "pickle: an array");
  if (!("dtype" in type)) bad("an array holds text, expected numbers");
  const element = { dtype: type.dtype, bigEndian: type.bigEndian };
  return {
    kind: "made",
    what: "a dtype",
    element,
    build(state) {
      const [version, order, ...rest] = tupleOf(state, "a dtype's state");
      const text = textOf(order, "a dtype's byte order");
      if (typeof version !== "number" || !"<>|=".includes(text) || text.length !== 1)
        bad(`a dtype's state begins with ${describe(version)}, ${describe(order)}`);
      // Subarrays, field names and fields make records.
      if (rest.slice(0, 3).some((part) => part !== null))
        bad("an array holds records, not numbers");
      element.bigEndian = text === ">";
    },
  };
}

function stored(
  { dtype, bigEndian }: ElementType["element"],
  shape: readonly number[],
  axes: readonly number[] | null,
  { at, length, latin1 }: Bytes,
  file: RandomAccess,
): NonNullable<ArrayValue["stored"]> {
  const size = ITEM_BYTES[dtype] * itemCount(shape);
  // A byte takes one or two in UTF-8: how many there are is known only when they are read.
  if (latin1 ? size > length || size < length / 2 : size !== length)
    bad(`an array of shape [${shape}] (${dtype}) takes ${size} bytes, it has ${length}`);
  const raw = plainBytes(file, at, length, "an array");
  const stream = latin1 ? () => latin1Bytes(pieces(file, at, length, "an array")) : raw;
  return { dtype, bigEndian, shape, axes, encoded: latin1, stream };
}

/** Characters up to U+00FF of UTF-8 text as bytes. */
async function* latin1Bytes(text: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let lead = 0; // the first byte of a character whose second is in the next piece
  for await (const piece of text) {
    const out = new Uint8Array(piece.length + 1);
    let length = 0;
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i]!;
      if (lead) {
        if (byte >> 6 !== 2) bad("an array's text is not UTF-8");
        out[length++] = ((lead & 3) << 6) | (byte & 0x3f);
        lead = 0;
      } else if (byte < 0x80) out[length++] = byte;
      else if (byte === 0xc2 || byte === 0xc3) lead = byte;
      else bad(`an array's text has a character that is no byte`);
    }
    yield out.subarray(0, length);
  }
  if (lead) bad("an array's text ends within a character");
}

function arrayValue(of: ArrayValue["stored"], file: RandomAccess): ArrayValue {
  const value: ArrayValue = {
    kind: "made",
    what: "an array",
    stored: of,
    build: (state) => fillArray(value, tupleOf(state, "an array's state"), file),
  };
  return value;
}

/** `ndarray.__setstate__((version, shape, dtype, isFortran, data))`. */
function fillArray(value: ArrayValue, state: readonly Value[], file: RandomAccess): void {
  const [, sizes, type, isFortran, data] = state;
  if (state.length !== 5) bad(`an array's state has ${state.length} parts, expected 5`);
  const shape = checkSizes(tupleOf(sizes, "an array's shape"), "pickle: an array");
  const axes = boolOf(isFortran, "an array's order") ? fortranAxes(shape) : null;
  value.stored = stored(elementOf(type), shape, axes, bytesOf(data, "an array's data"), file);
}

/** `_reconstruct(ndarray, (0,), b"b")`: an array whose state follows. */
function reconstruct(args: readonly Value[], file: RandomAccess): ArrayValue {
  const [type] = args;
  if (!is(type, "global") || (type as Global).name !== NDARRAY)
    bad(`an array of the class ${describe(type)}, expected ${NDARRAY}`);
  return arrayValue(null, file);
}

/** `scalar(dtype, bytes)`. */
const scalar = ([type, data]: readonly Value[], file: RandomAccess): ArrayValue =>
  arrayValue(stored(elementOf(type), [], null, bytesOf(data, "a scalar's data"), file), file);

/** `_frombuffer(data, dtype, shape, order, axisOrder?)`: arrays of protocol 5. */
function fromBuffer(args: readonly Value[], file: RandomAccess): ArrayValue {
  const [data, type, sizes, order, axisOrder = null] = args;
  const given = checkSizes(tupleOf(sizes, "an array's shape"), "pickle: an array");
  const letter = textOf(order, "an array's order");
  let shape: readonly number[] = given;
  let axes = letter === "F" ? fortranAxes(given) : null;
  if (letter === "K" && axisOrder !== null) {
    const moved = checkSizes(tupleOf(axisOrder, "an array's axes"), "pickle: an array's axes");
    if (moved.length !== given.length || new Set(moved).size !== moved.length)
      bad(`an array of shape [${given}] with the axes [${moved}]`);
    if (moved.some((axis) => axis >= given.length))
      bad(`an array of shape [${given}] with the axes [${moved}]`);
    shape = moved.map((axis) => given[axis]!);
    axes = moved;
  } else if (letter !== "C" && letter !== "F") bad(`an array in order ${describe(order)}`);
  const bytes = bytesOf(data, "an array's data");
  return arrayValue(stored(elementOf(type), shape, axes, bytes, file), file);
}

/** `f(*args)` with a state: how dill and JAX wrap NumPy's arrays. What else they give says nothing about values. */
function wrapped(args: readonly Value[], file: RandomAccess): Value {
  const [make, given, state] = args;
  if (!is(make, "global") || !(make as Global).call) bad(`an array made by ${describe(make)}`);
  const value = (make as Global).call!(tupleOf(given, "an array's arguments"), file);
  if (!isArray(value)) bad(`an array made by ${describe(make)}`);
  value.build!(state ?? null);
  return value;
}

/** `_codecs.encode(text, "latin1")`: how protocol 2 writes bytes. */
function encode([text, encoding = null]: readonly Value[]): Bytes {
  if (!is(text, "text")) bad(`bytes made of ${describe(text)}`);
  const name = textOf(encoding, "an encoding");
  if (name !== "latin1") bad(`bytes in the encoding "${name}"`);
  const { at, length } = text as { at: number; length: number };
  return { kind: "bytes", at, length, latin1: true };
}

/** `bytes()`: how protocol 2 writes none. */
function noBytes(args: readonly Value[]): Bytes {
  if (args.length) bad(`bytes made of ${describe(args[0])}`);
  return { kind: "bytes", at: 0, length: 0, latin1: false };
}

/** `_load_type(name)`: how dill names Python's types. */
function loadType([given]: readonly Value[]): Global {
  const name = textOf(given, "a type's name");
  if (name === "BytesType") return { kind: "global", name: "builtins.bytes", call: noBytes };
  return bad(`it wants dill's type ${describe(given ?? null)}, which no array needs: refused`);
}

/** A mapping from a dict, or empty. It shares the dict's entries: a file may ask for any number of copies. */
function mapping([from]: readonly Value[]): Dict {
  if (from === undefined) return { kind: "dict", entries: new Map() };
  return is(from, "dict") ? (from as Dict) : bad(`a mapping made of ${describe(from)}`);
}

const NDARRAY = "numpy.ndarray";
const BFLOAT16 = "ml_dtypes.bfloat16";

/** All that a pickle may name. */
export const arrayNames: Names = /* @__PURE__ */ new Map<string, Pick<Global, "call">>([
  [NDARRAY, {}],
  [BFLOAT16, {}],
  ["numpy.dtype", { call: dtype }],
  ["numpy.core.multiarray._reconstruct", { call: reconstruct }],
  ["numpy._core.multiarray._reconstruct", { call: reconstruct }],
  ["numpy.core.multiarray.scalar", { call: scalar }],
  ["numpy._core.multiarray.scalar", { call: scalar }],
  ["numpy.core.numeric._frombuffer", { call: fromBuffer }],
  ["numpy._core.numeric._frombuffer", { call: fromBuffer }],
  ["dill._dill._create_array", { call: wrapped }],
  ["jax._src.array._reconstruct_array", { call: wrapped }],
  // JAX before 0.4. That of 2021, which wrote the release, pickles its arrays as NumPy's.
  ["jax._src.device_array.reconstruct_device_array", { call: wrapped }],
  ["haiku._src.data_structures.FlatMapping", { call: mapping }],
  ["haiku._src.data_structures.frozendict", { call: mapping }],
  ["collections.OrderedDict", { call: mapping }],
  ["_codecs.encode", { call: encode }],
  ["__builtin__.bytes", { call: noBytes }],
  ["builtins.bytes", { call: noBytes }],
  ["dill._dill._load_type", { call: loadType }],
]);

const isArray = (value: Value): value is ArrayValue =>
  is(value, "made") && "stored" in (value as Made);

/** A value of a pickle as an array: an array, or a plain number, which is a scalar. */
export function arrayOf(value: Value, name: string, file: RandomAccess): StoredArray {
  if (typeof value === "number") {
    const data = new Uint8Array(Float64Array.of(value).buffer);
    const scalar = {
      dtype: "F64",
      bigEndian: false,
      shape: [],
      axes: null,
      encoded: false,
    } as const;
    return {
      name,
      file: file.name,
      ...scalar,
      stream: () => pieces(randomAccess(data), 0, 8, name),
    };
  }
  if (!isArray(value)) return bad(`"${name}" is ${describe(value)}, expected an array`);
  if (!value.stored) return bad(`"${name}" is an array without data`);
  return { ...value.stored, name, file: file.name };
}
