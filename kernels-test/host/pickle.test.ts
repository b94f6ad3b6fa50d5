// Files of parameters by unknown hands: whatever is in one, reading gives arrays or a FormatError, soon and in little
// memory, and never does what the file asks for.
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { io } from "../../src/index.ts";
import { join, op, pickleOf } from "./pickleWriter.ts";
import { attempt, golden, refused, tiny } from "./unknownFiles.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

const file = (...parts: Uint8Array[]) => join([op.proto(4), ...parts, op.stop]);
const call = (module: string, name: string, ...args: Uint8Array[]) =>
  join([op.global(module, name), op.mark, ...args, op.tuple, op.reduce]);
/** `{"m": {"w": value}}`. */
const holding = (value: Uint8Array) =>
  file(op.dict, op.text("m"), op.dict, op.text("w"), value, op.setItem, op.setItem);
const dtype = (name: string): Uint8Array =>
  call("numpy", "dtype", op.text(name), op.int(0), op.int(1));
const state = (shape: Uint8Array[], data: Uint8Array, type: Uint8Array = dtype("f4")) =>
  join([op.mark, op.int(1), op.mark, ...shape, op.tuple, type, op.false, data, op.tuple, op.build]);
const bytes = (length: number) => join([op.bytes(length), new Uint8Array(length)]);
const empty = call(
  "numpy._core.multiarray",
  "_reconstruct",
  op.global("numpy", "ndarray"),
  op.mark,
  op.int(0),
  op.tuple,
  bytes(1),
);
const array = (shape: number[], data: Uint8Array, type?: Uint8Array) =>
  holding(join([empty, state(shape.map(op.int), data, type)]));

test.each([2, 4] as const)("protocol %i: values bit for bit", async (protocol) => {
  const arrays = await io.readHaiku(join([...pickleOf(tiny, protocol)]));
  expect([...arrays.keys()]).toEqual(["N/~/a/w", "N/~/a/b", "N/~/b/w"]);
  expect(arrays.get("N/~/a/w")!.shape).toEqual([2, 2]);
  expect(await arrays.get("N/~/a/w")!.read()).toEqual(Float32Array.of(1, -2, 3e-5, 400));
  expect(arrays.get("N/~/a/b")!.shape).toEqual([]);
  expect(await arrays.get("N/~/a/b")!.read()).toEqual(Float32Array.of(7));
});

test("every half of a protocol 2 string is put together again", async () => {
  const values = Float32Array.from({ length: 3e6 }, (_, i) => Math.sin(i) * 2 ** ((i % 200) - 100));
  const big = { m: { w: { shape: [3e6], data: () => [new Uint8Array(values.buffer)] } } };
  const arrays = await io.readHaiku(join([...pickleOf(big, 2)])); // pieces end within characters
  expect(
    Buffer.compare(
      Buffer.from((await arrays.get("m/w")!.read()).buffer),
      Buffer.from(values.buffer),
    ),
  ).toBe(0);
});

describe("what is not on the list is refused by name", () => {
  test.each([
    ["os", "system"],
    ["builtins", "eval"],
    ["builtins", "getattr"],
    ["numpy", "load"],
    ["numpy.core.multiarray", "fromfile"],
    ["numpy.testing._private.utils", "runstring"],
    ["numpy.ndarray", "tofile"],
    ["jax._src.array", "ArrayImpl"],
    ["dill._dill", "_create_function"],
    ["haiku._src.data_structures", "to_dict"],
    ["constructor", "constructor"],
    ["__proto__", "toString"],
  ])("%s.%s", (module, name) =>
    refused(holding(call(module, name, op.text("touch x"))), new RegExp(`"${module}.${name}"`)),
  );
  test("through texts on the stack, and without a call", () =>
    refused(
      holding(join([op.text("posix"), op.text("system"), Uint8Array.of(0x93)])),
      /"posix.system"/,
    ));
  test("of dill's types all but that of bytes", () =>
    refused(holding(call("dill._dill", "_load_type", op.text("CodeType"))), /"CodeType"/));
  test.each([
    ["NEWOBJ", [0x81]],
    ["OBJ", [0x6f]],
    ["PERSID", [0x50]],
    ["EXT1", [0x82, 1]],
    ["NEXT_BUFFER", [0x97]],
    ["FROZENSET", [0x91]],
  ])("operation %s", (name, codes) =>
    refused(holding(Uint8Array.from(codes)), new RegExp(`operation ${name}`)),
  );
  test("a file that a golden set refuses does nothing", async () => {
    const names = [
      "evil-eval",
      "evil-getattr",
      "evil-nested",
      "evil-numpy-prefix",
      "evil-system-2",
    ];
    for (const name of names) await refused(golden(`${name}.npz`), /it wants "[\w.]+"/);
    expect(existsSync("/tmp/pwned")).toBe(false); // what those files would make
  });
});

describe("what is on the list is checked", () => {
  test("data that is too short, too long, of a negative or a wrong shape", async () => {
    expect(await attempt(array([2], bytes(8)))).toBeNull();
    await refused(array([3], bytes(8)), /takes 12 bytes, it has 8/);
    await refused(array([1], bytes(8)), /takes 4 bytes, it has 8/);
    await refused(array([-2], bytes(8)), /shape \[-2\]/);
    await refused(array([2 ** 30, 2 ** 30, 2 ** 30], bytes(8)), /shape/);
    await refused(holding(join([empty, state([op.text("2")], bytes(8))])), /shape/);
    await refused(holding(empty), /without data/);
  });
  test("element types", async () => {
    for (const type of ["O", "O8", "c8", "S4", "U1", "M8", "f16", "f", "", "<f4,<f4"])
      await refused(array([1], bytes(4), dtype(type)), /array holds|expected/);
    for (const type of ["f4", "<f4", ">f4", "i4", "u4"])
      expect(await attempt(array([1], bytes(4), dtype(type)))).toBeNull();
  });
  test("arguments that make no sense", async () => {
    await refused(holding(call("numpy", "dtype", op.int(1))), /dtype is 1/);
    await refused(holding(call("numpy", "dtype")), /dtype is nothing/);
    await refused(
      holding(call("numpy.core.multiarray", "_reconstruct", dtype("f4"))),
      /class a dtype/,
    );
    await refused(holding(join([empty, op.int(1), op.build])), /expected a tuple/);
    await refused(holding(call("_codecs", "encode", op.text("x"), op.text("utf-8"))), /"utf-8"/);
    await refused(holding(call("_codecs", "encode", bytes(3), op.text("latin1"))), /3 bytes/);
    await refused(holding(call("numpy", "ndarray", op.int(1))), /a call of numpy.ndarray/);
    const wrap = (make: Uint8Array, ...rest: Uint8Array[]) =>
      holding(call("dill._dill", "_create_array", make, op.mark, op.tuple, ...rest));
    await refused(wrap(op.global("numpy", "dtype")), /dtype is nothing/);
    await refused(wrap(op.global("numpy", "ndarray")), /made by numpy.ndarray/);
    await refused(wrap(op.global("collections", "OrderedDict")), /made by collections.OrderedDict/);
    const K = (axes: number[]) =>
      call(
        "numpy.core.numeric",
        "_frombuffer",
        bytes(8),
        dtype("f4"),
        op.mark,
        op.int(1),
        op.int(2),
        op.tuple,
        op.text("K"),
        op.mark,
        ...axes.map(op.int),
        op.tuple,
      );
    expect(await attempt(holding(K([1, 0])))).toBeNull();
    for (const axes of [[0], [0, 0], [0, 2], [-1, 0]]) await refused(holding(K(axes)), /axes/);
  });
  test("what is no {module: {name: array}}", async () => {
    await refused(file(op.list), /it is a list/);
    await refused(file(op.none), /it is None/);
    await refused(file(op.dict, op.text("w"), op.int(1), op.setItem), /"w" is 1/);
    await refused(holding(join([op.dict])), /"m\/w" is a dict/);
    await refused(holding(op.text("x")), /"m\/w" is "x"/);
    await refused(file(op.dict), /no array/);
    await refused(file(op.dict, op.int(1), op.dict, op.setItem), /1 where a name/);
    const twice = [op.text("w"), op.int(1), op.setItem];
    await refused(
      file(op.dict, op.text("m"), op.dict, ...twice, ...twice, op.setItem),
      /"w" twice/,
    );
  });
  test("names of JavaScript's own are names like any other", async () => {
    const inner = join([op.dict, op.text("constructor"), op.int(5), op.setItem]);
    const arrays = await io.readHaiku(file(op.dict, op.text("__proto__"), inner, op.setItem));
    expect(await arrays.get("__proto__/constructor")!.read()).toEqual(Float32Array.of(5));
  });
});

describe("a hostile file costs little", () => {
  const many = (count: number, ...unit: Uint8Array[]) => {
    const one = join(unit);
    const out = new Uint8Array(count * one.length);
    for (let i = 0; i < count; i++) out.set(one, i * one.length);
    return out;
  };
  const bound = async (bytes: Uint8Array, message: RegExp) => {
    const before = process.memoryUsage().rss;
    const start = performance.now();
    await refused(bytes, message);
    expect(performance.now() - start).toBeLessThan(5000);
    expect(process.memoryUsage().rss - before).toBeLessThan(400e6);
  };
  test("deep nesting", () => bound(file(many(3e5, op.dict, op.text("a"))), /ends with/));
  test("nested tuples", () => bound(file(op.none, many(1e6, op.tuple1)), /it is a tuple/));
  test("a full stack", () => bound(file(many(1.5e6, op.none)), /values on its stack/));
  test("many marks", () => bound(file(many(1.5e6, op.mark)), /ends with/));
  test("too many operations", () =>
    bound(file(op.none, many(3e6, Uint8Array.of(0x30), op.none)), /operations/));
  test("a long tuple where a short one is expected", () =>
    bound(file(dtype("f4"), op.mark, many(5e5, op.none), op.tuple, op.build), /a tuple of 500000/));
  test("a large dict in many mappings", () => {
    const items = Array.from({ length: 2e4 }, (_, i) => join([op.text(`${i}`), op.none]));
    const dict = join([op.dict, op.mark, ...items, op.setItems, op.put(0)]);
    const one = call("haiku._src.data_structures", "FlatMapping", op.get(0));
    return bound(file(dict, many(5e4, one)), /ends with/);
  });
  test("a list that holds itself", () =>
    refused(holding(join([op.list, op.put(0), many(1000, op.get(0), op.append)])), /a list/));
  test("a dict that holds itself", () =>
    refused(file(op.dict, op.put(0), op.text("a"), op.get(0), op.setItem), /"a\/a" is a dict/));
  test("lengths that lie", async () => {
    await refused(holding(op.bytes(2 ** 31)), /truncated/);
    await refused(holding(op.bytes(2 ** 40)), /truncated/);
    await refused(holding(join([Uint8Array.of(0x8d), new Uint8Array(8).fill(255)])), /a length of/);
    await refused(holding(join([Uint8Array.of(0x8b), new Uint8Array(4).fill(127)])), /a number of/);
    await refused(file(Uint8Array.of(0x95, 0, 0, 0, 0, 1, 0, 0, 0)), /a frame of/);
    await refused(holding(utf8(`c${"x".repeat(300)}\n`)), /a name of more than/);
    await refused(holding(op.text("x".repeat(5000))), /a long text/);
    await refused(holding(op.get(5)), /memo 5 is empty/);
    await refused(join([file(op.none), Uint8Array.of(0)]), /1 bytes follow its end/);
  });
});
