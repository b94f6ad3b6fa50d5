// A reader of pickles (protocols 2 to 5) that runs nothing: a pickle is a program for a small stack machine, and here
// its calls go to a table of exact names whose entries make plain values. Any other name is refused. The bytes of
// arrays are passed over: a value says where in the file they are. What the names mean is in pickleNames.ts.
import { FormatError } from "../errors.ts";
import { type Dict, describe, type Names, quote, type Value } from "./pickleValues.ts";
import { type Cursor, cursor, type RandomAccess } from "./source.ts";

/** Longer texts are not names, but arrays. */
const MAX_NAME = 4096;
const MAX_GLOBAL = 256;
/** Far above any checkpoint (F7 has 40,000 operations); they bound the memory that a hostile file can make us use. */
const MAX_OPERATIONS = 2_000_000;
const MAX_STACK = 1_000_000;
const MAX_MEMO = 2_000_000;
const MAX_NAMES_BYTES = 64 << 20;
/** The longest operation with its number, but for texts, bytes and names. */
const LONGEST = 9;

function bad(message: string): never {
  throw new FormatError(`pickle: ${message}`);
}

interface Machine {
  readonly file: RandomAccess;
  readonly names: Names;
  readonly cursor: Cursor;
  readonly stack: Value[];
  /** Heights of the stack at open marks. */
  readonly marks: number[];
  readonly memo: Map<number, Value>;
  /** Bytes of the texts that are kept. */
  nameBytes: number;
}

/**
 * The value of a pickle whose calls `names` knows, or a FormatError. It must end where the file ends.
 * @param names what a pickle may call, by `module.name`
 */
export async function readPickle(file: RandomAccess, names: Names): Promise<Value> {
  const at = cursor(file, "pickle");
  const empty = { stack: [], marks: [], memo: new Map(), nameBytes: 0 };
  const machine: Machine = { file, names, cursor: at, ...empty };
  for (let count = 0; count < MAX_OPERATIONS; count++) {
    if (at.at >= file.size) bad(`it ends at byte ${at.at} without its last operation: truncated?`);
    await at.need(Math.min(1 + LONGEST, file.size - at.at));
    const code = at.take(1).getUint8(0);
    if (code === STOP) return finish(machine);
    const operation = operations[code];
    if (!operation) {
      const name = REFUSED[code] ?? `0x${code.toString(16)}`;
      bad(`operation ${name} at byte ${at.at - 1} is not one that arrays need`);
    }
    const waits = operation(machine);
    if (waits) await waits;
    if (machine.stack.length > MAX_STACK) bad(`more than ${MAX_STACK} values on its stack`);
  }
  return bad(`more than ${MAX_OPERATIONS} operations`);
}

function finish({ file, cursor, stack, marks }: Machine): Value {
  if (stack.length !== 1 || marks.length) bad(`it ends with ${stack.length} values, expected one`);
  const left = file.size - cursor.at;
  if (left) bad(`${left} bytes follow its end`);
  return stack[0]!;
}

function pop({ stack, marks, cursor }: Machine): Value {
  if (stack.length <= (marks.at(-1) ?? 0)) bad(`nothing to take at byte ${cursor.at}`);
  return stack.pop()!;
}

function top({ stack, marks, cursor }: Machine): Value {
  if (stack.length <= (marks.at(-1) ?? 0)) bad(`nothing to take at byte ${cursor.at}`);
  return stack.at(-1)!;
}

/** All values since the last mark. */
function sinceMark({ stack, marks, cursor }: Machine): Value[] {
  const mark = marks.pop();
  if (mark === undefined) bad(`no mark at byte ${cursor.at}`);
  return stack.splice(mark);
}

/** The next number of the file, which the main loop has asked for. @throws FormatError where the file ends before. */
function number(m: Machine, bytes: number): DataView {
  if (m.file.size - m.cursor.at < bytes) bad(`it ends at byte ${m.file.size}: truncated?`);
  return m.cursor.take(bytes);
}
const u8 = (m: Machine) => number(m, 1).getUint8(0);
const u32 = (m: Machine) => number(m, 4).getUint32(0, true);
function u64(m: Machine): number {
  const view = number(m, 8);
  const value = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  return Number.isSafeInteger(value) ? value : bad(`a length of ${value} at byte ${m.cursor.at}`);
}

async function text(m: Machine, length: number): Promise<void> {
  const { cursor, stack } = m;
  const at = cursor.at;
  let value: string | null = null;
  if (length <= MAX_NAME) {
    m.nameBytes += length;
    if (m.nameBytes > MAX_NAMES_BYTES) bad(`more than ${MAX_NAMES_BYTES} bytes of names`);
    await cursor.need(length);
    value = new TextDecoder("utf-8", { ignoreBOM: true }).decode(cursor.take(length));
  } else cursor.skip(length);
  stack.push({ kind: "text", at, length, value });
}

function bytes({ cursor, stack }: Machine, length: number): void {
  const at = cursor.at;
  cursor.skip(length);
  stack.push({ kind: "bytes", at, length, latin1: false });
}

/** A whole number of any length; what a double cannot hold comes near it, and is no size or index then. */
async function long(m: Machine, length: number): Promise<void> {
  if (length > 255) bad(`a number of ${length} bytes at byte ${m.cursor.at}`);
  await m.cursor.need(length);
  const view = m.cursor.take(length);
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + view.getUint8(i);
  if (length && view.getInt8(length - 1) < 0) value -= 256 ** length;
  m.stack.push(value);
}

async function line(m: Machine): Promise<string> {
  let value = "";
  for (;;) {
    await m.cursor.need(1);
    const code = u8(m);
    if (code === 0x0a) return value;
    if (value.length === MAX_GLOBAL) bad(`a name of more than ${MAX_GLOBAL} bytes`);
    value += String.fromCharCode(code);
  }
}

function global(m: Machine, module: string, name: string): void {
  const full = `${module}.${name}`;
  const found = m.names.get(full);
  if (!found) bad(`it wants ${quote(full)}, which no array needs: refused`);
  m.stack.push({ kind: "global", name: full, ...found });
}

/** A name, or a text that is given where one is expected. */
function name(value: Value): string {
  if (typeof value === "object" && value?.kind === "text" && value.value !== null)
    return value.value;
  return bad(`${describe(value)} where a name is expected`);
}

function reduce(m: Machine): void {
  const args = pop(m);
  const callable = pop(m);
  if (typeof args !== "object" || args?.kind !== "tuple")
    bad(`a call with ${describe(args)} at byte ${m.cursor.at}`);
  if (typeof callable !== "object" || callable?.kind !== "global" || !callable.call)
    bad(`a call of ${describe(callable)} at byte ${m.cursor.at}`);
  m.stack.push(callable.call(args.items, m.file));
}

function build(m: Machine): void {
  const state = pop(m);
  const target = top(m);
  if (typeof target !== "object" || target?.kind !== "made" || !target.build)
    bad(`a state for ${describe(target)} at byte ${m.cursor.at}`);
  target.build(state);
}

function setItems(m: Machine, items: readonly Value[]): void {
  const target = top(m);
  if (typeof target !== "object" || target?.kind !== "dict" || items.length % 2)
    bad(`items for ${describe(target)} at byte ${m.cursor.at}`);
  put(target, items);
}

function put(target: Dict, items: readonly Value[]): void {
  for (let i = 0; i < items.length; i += 2) {
    const key = name(items[i]!);
    if (target.entries.has(key)) bad(`a dict has ${quote(key)} twice`);
    target.entries.set(key, items[i + 1]!);
  }
}

function append(m: Machine, items: readonly Value[]): void {
  const target = top(m);
  if (typeof target !== "object" || target?.kind !== "list")
    bad(`elements for ${describe(target)} at byte ${m.cursor.at}`);
  for (const item of items) target.items.push(item);
}

function tuple(m: Machine, length: number): void {
  const items = Array.from({ length }, () => pop(m)).reverse();
  m.stack.push({ kind: "tuple", items });
}

function remember(m: Machine, index: number): void {
  m.memo.set(index, top(m));
  if (m.memo.size > MAX_MEMO) bad(`more than ${MAX_MEMO} values in its memo`);
}

function recall(m: Machine, index: number): void {
  const value = m.memo.get(index);
  if (value === undefined) bad(`memo ${index} is empty at byte ${m.cursor.at}`);
  m.stack.push(value);
}

const STOP = 0x2e;
type Operation = (m: Machine) => void | Promise<void>;
const operations: readonly (Operation | undefined)[] = /* @__PURE__ */ table({
  128: (m) => void u8(m), // PROTO
  149: (m) => {
    const length = u64(m);
    const left = m.file.size - m.cursor.at;
    if (length > left) bad(`a frame of ${length} bytes, ${left} follow: truncated?`);
  },
  "(": (m) => void m.marks.push(m.stack.length),
  "0": (m) => {
    if (m.stack.length > (m.marks.at(-1) ?? 0)) m.stack.pop();
    else sinceMark(m); // POP of a mark
  },
  "1": (m) => void sinceMark(m),
  "2": (m) => void m.stack.push(top(m)),
  N: (m) => void m.stack.push(null),
  136: (m) => void m.stack.push(true),
  137: (m) => void m.stack.push(false),
  J: (m) => void m.stack.push(number(m, 4).getInt32(0, true)),
  K: (m) => void m.stack.push(u8(m)),
  M: (m) => void m.stack.push(number(m, 2).getUint16(0, true)),
  138: (m) => long(m, u8(m)),
  139: (m) => long(m, u32(m)),
  G: (m) => void m.stack.push(number(m, 8).getFloat64(0)),
  X: (m) => text(m, u32(m)),
  140: (m) => text(m, u8(m)),
  141: (m) => text(m, u64(m)),
  B: (m) => bytes(m, u32(m)),
  C: (m) => bytes(m, u8(m)),
  142: (m) => bytes(m, u64(m)),
  150: (m) => bytes(m, u64(m)), // BYTEARRAY8
  "]": (m) => void m.stack.push({ kind: "list", items: [] }),
  l: (m) => void m.stack.push({ kind: "list", items: sinceMark(m) }),
  a: (m) => append(m, [pop(m)]),
  e: (m) => append(m, sinceMark(m)),
  ")": (m) => tuple(m, 0),
  t: (m) => void m.stack.push({ kind: "tuple", items: sinceMark(m) }),
  133: (m) => tuple(m, 1),
  134: (m) => tuple(m, 2),
  135: (m) => tuple(m, 3),
  "}": (m) => void m.stack.push({ kind: "dict", entries: new Map() }),
  d: (m) => {
    const dict: Dict = { kind: "dict", entries: new Map() };
    const items = sinceMark(m);
    if (items.length % 2) bad(`a dict of ${items.length} values at byte ${m.cursor.at}`);
    put(dict, items);
    m.stack.push(dict);
  },
  s: (m) => {
    const value = pop(m);
    setItems(m, [pop(m), value]);
  },
  u: (m) => setItems(m, sinceMark(m)),
  q: (m) => remember(m, u8(m)),
  r: (m) => remember(m, u32(m)),
  148: (m) => remember(m, m.memo.size), // MEMOIZE
  h: (m) => recall(m, u8(m)),
  j: (m) => recall(m, u32(m)),
  c: async (m) => {
    const module = await line(m);
    global(m, module, await line(m));
  },
  147: (m) => {
    const last = name(pop(m));
    global(m, name(pop(m)), last);
  },
  R: reduce,
  b: build,
});

/** Operations that no pickle of arrays has, for messages. */
const REFUSED: Readonly<Record<number, string>> = {
  ...{ 73: "INT", 76: "LONG", 70: "FLOAT", 83: "STRING", 84: "BINSTRING" },
  ...{ 85: "SHORT_BINSTRING", 86: "UNICODE", 80: "PERSID", 81: "BINPERSID", 105: "INST" },
  ...{ 111: "OBJ", 103: "GET", 112: "PUT", 129: "NEWOBJ", 130: "EXT1", 131: "EXT2" },
  ...{ 132: "EXT4", 143: "EMPTY_SET", 144: "ADDITEMS", 145: "FROZENSET", 146: "NEWOBJ_EX" },
  151: "NEXT_BUFFER (a buffer outside the file)",
  152: "READONLY_BUFFER (a buffer outside the file)",
};

/** By code: keys are characters, or codes of those that have none. */
function table(by: Readonly<Record<string, Operation>>): (Operation | undefined)[] {
  const all: (Operation | undefined)[] = [];
  for (const [key, operation] of Object.entries(by))
    all[key.length === 1 ? key.charCodeAt(0) : Number(key)] = operation;
  return all;
}
