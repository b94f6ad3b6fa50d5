// The safetensors reader refuses what the format does not allow, and reads back what the writer wrote.
import { describe, expect, test } from "vitest";
import { FormatError } from "../src/errors.ts";
import {
  type HostTensor,
  readSafetensors,
  safetensorsBytes,
  safetensorsChunks,
} from "../src/io/safetensors.ts";

/** A file from a header text and a number of data bytes. */
function file(header: string, dataBytes: number, claimed?: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + text.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(claimed ?? text.length), true);
  out.set(text, 8);
  return out;
}

const f32 = (shape: number[], begin: number, end: number) =>
  `{"dtype":"F32","shape":${JSON.stringify(shape)},"data_offsets":[${begin},${end}]}`;

const tensors: Record<string, HostTensor> = {
  bytes: { data: Uint8Array.of(1, 2, 3), shape: [3] },
  w: { data: Float32Array.of(1, -2, Number.NaN, 3e-40, 5, 6), shape: [2, 3] },
  scalar: { data: Float64Array.of(Math.PI), shape: [] },
  keys: { data: Uint32Array.of(0xffffffff, 1), shape: [2] },
  ints: { data: Int32Array.of(-1), shape: [1] },
  empty: { data: new Float32Array(0), shape: [0, 4] },
};

describe("safetensors", () => {
  test("reads back what was written, from bytes, a Blob and ranges", async () => {
    const bytes = safetensorsBytes(tensors, { step: "12", note: "é∇" });
    const read = async (at: number, length: number) => Buffer.from(bytes).subarray(at, at + length);
    for (const source of [bytes, new Blob([bytes]), { size: bytes.length, read }]) {
      const opened = await readSafetensors(source);
      expect([...opened.entries.keys()].sort()).toEqual(Object.keys(tensors).sort());
      expect([...opened.metadata]).toEqual([
        ["step", "12"],
        ["note", "é∇"],
      ]);
      for (const [name, tensor] of Object.entries(tensors)) {
        expect(await opened.entries.get(name)?.read(), name).toEqual(tensor);
      }
    }
  });

  test("reads no data before it is asked to", async () => {
    const bytes = safetensorsBytes(tensors);
    const ranges: number[][] = [];
    const read = async (at: number, length: number) => {
      ranges.push([at, length]);
      return bytes.subarray(at, at + length);
    };
    const opened = await readSafetensors({ size: bytes.length, read });
    expect(ranges.length).toBe(2);
    await opened.entries.get("w")?.read();
    expect(ranges[2]?.[1]).toBe(24);
  });

  test("offsets are aligned to the item size", () => {
    const [header] = safetensorsChunks(tensors);
    const fields = JSON.parse(new TextDecoder().decode(header?.subarray(8)));
    expect((header?.length ?? 1) % 8).toBe(0);
    expect(fields.scalar.data_offsets[0] % 8).toBe(0);
    expect(fields.w.data_offsets[0] % 4).toBe(0);
  });

  test("widens F16 and BF16", async () => {
    const text =
      '{"h":{"dtype":"F16","shape":[5],"data_offsets":[0,10]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[10,14]}}';
    const bytes = file(text, 14);
    const halves = Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00, 0x7e00, 0x3f80, 0xc2f7);
    bytes.set(new Uint8Array(halves.buffer), bytes.length - 14);
    const { entries } = await readSafetensors(bytes);
    const h = await entries.get("h")?.read();
    expect(h?.data).toEqual(
      Float32Array.of(1, -2.5, 2 ** -24, Number.POSITIVE_INFINITY, Number.NaN),
    );
    expect((await entries.get("b")?.read())?.data).toEqual(Float32Array.of(1, -123.5));
  });

  test("names of object machinery are names like others", async () => {
    const named = new Map(["__proto__", "constructor", "toString"].map((name, i) => [name, i]));
    const given = new Map(
      [...named].map(([k, i]) => [k, { data: Float32Array.of(i), shape: [1] }]),
    );
    const { entries } = await readSafetensors(
      safetensorsBytes(given, new Map([["__proto__", "x"]])),
    );
    for (const [name, i] of named) {
      expect((await entries.get(name)?.read())?.data).toEqual(Float32Array.of(i));
    }
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });

  const whole = safetensorsBytes(tensors);
  const cut = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  const refused: [string, Uint8Array, RegExp][] = [
    ["no length", new Uint8Array(7), /at least 8 bytes, the file has 7/],
    ["truncated data", whole.subarray(0, whole.length - 1), /truncated|the file has/],
    [
      "a longer file than its header says",
      file(`{"a":${f32([1], 0, 4)}}`, 5),
      /end at byte 4 .* has 5/,
    ],
    ["a header that claims more than the file", file("{}", 0, 3), /claims 3 bytes/],
    ["a header that claims 2^63 bytes", file("{}", 0, 2 ** 63), /claims/],
    ["a header cut short", file(cut, 4), /not JSON/],
    ["not JSON at all", file("hello", 0), /starts with "h"/],
    ["a list", file("[]", 0), /starts with/],
    [
      "not UTF-8",
      (() => {
        const f = file('{"a":1}', 0);
        f[10] = 0xff;
        return f;
      })(),
      /not UTF-8/,
    ],
    [
      "an unknown dtype",
      file('{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}', 1),
      /dtype "F8"/,
    ],
    [
      "a dtype of the prototype",
      file('{"a":{"dtype":"constructor","shape":[],"data_offsets":[0,1]}}', 1),
      /dtype/,
    ],
    ["a negative size", file(`{"a":${f32([-1], 0, 4)}}`, 4), /shape \[-1\]/],
    ["a fractional size", file(`{"a":${f32([1.5], 0, 6)}}`, 6), /shape \[1.5\]/],
    ["a shape that does not fit", file(`{"a":${f32([3], 0, 8)}}`, 8), /takes 12 bytes/],
    ["offsets that run backwards", file(`{"a":${f32([1], 4, 0)}}`, 4), /takes 4 bytes/],
    ["overlapping tensors", file(`{"a":${f32([2], 0, 8)},"b":${f32([2], 4, 12)}}`, 12), /overlaps/],
    ["the same bytes twice", file(`{"a":${f32([1], 0, 4)},"b":${f32([1], 0, 4)}}`, 4), /overlaps/],
    [
      "a hole",
      file(`{"a":${f32([1], 0, 4)},"b":${f32([1], 8, 12)}}`, 12),
      /nothing owns the data bytes 4 to 8/,
    ],
    ["a tensor outside the file", file(`{"a":${f32([2], 0, 8)}}`, 4), /ends at byte 8 .* has 4/],
    ["an extra key", file('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}}', 1), /keys/],
    ["a missing key", file('{"a":{"dtype":"U8","shape":[]}}', 0), /keys dtype, shape/],
    [
      "three offsets",
      file('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}}', 1),
      /\[begin, end\]/,
    ],
    ["an entry that is a number", file('{"a":1}', 0), /"a" is not an object/],
    ["metadata that is not strings", file('{"__metadata__":{"a":1}}', 0), /"a" is number/],
  ];
  test.each(refused)("refuses %s", async (_, bytes, message) => {
    await expect(readSafetensors(bytes)).rejects.toThrow(FormatError);
    await expect(readSafetensors(bytes)).rejects.toThrow(message);
  });

  test("a source that gives fewer bytes than asked for is an error", async () => {
    const bytes = safetensorsBytes(tensors);
    let cut = 0;
    const read = async (at: number, n: number) => bytes.subarray(at, at + n - cut);
    const { entries } = await readSafetensors({ size: bytes.length, read });
    cut = 1;
    await expect(entries.get("w")?.read()).rejects.toThrow(/expected 24 bytes .* got 23/);
  });

  test("the writer refuses a wrong count and the reserved name", () => {
    const one = Float32Array.of(1);
    expect(() => safetensorsBytes({ a: { data: one, shape: [2] } })).toThrow(/1 elements/);
    expect(() => safetensorsBytes({ __metadata__: { data: one, shape: [1] } })).toThrow(/named/);
  });
});
