// Zip archives and .npz: what np.savez writes and np.load reads, entry by entry, and archives that lie.
import { describe, expect, test } from "vitest";
import { FormatError, io } from "../../src/index.ts";
import { crc32 } from "../../src/io/crc32.ts";
import { npyHeader, parseNpyHeader } from "../../src/io/npy.ts";
import { npzChunks } from "../../src/io/npz.ts";
import { readZip, unzip } from "../../src/io/zip.ts";
import { zipChunks } from "../../src/io/zipWriter.ts";
import { join } from "./pickleWriter.ts";
import { type Entry, floats, literal, npy, zip } from "./zipFiles.ts";

const text = (s: string) => new TextEncoder().encode(s);
async function all(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return join(parts);
}
const sourceOf = (bytes: Uint8Array) => {
  return { size: bytes.length, read: async (at: number, n: number) => bytes.subarray(at, at + n) };
};

const good = npy(literal("<f4", "(2, 3)"), floats(1, 2, 3, 4, 5, 6));

async function refused(bytes: Uint8Array, message: RegExp) {
  const read = async () => {
    const { entries } = await io.readNpz(bytes);
    for (const entry of entries.values()) await entry.read();
  };
  const error = await read().then(
    () => null,
    (e: Error) => e,
  );
  expect(error).toBeInstanceOf(FormatError);
  expect(error!.message).toMatch(message);
}

test("the checksum is zlib's", () => {
  const bytes = Uint8Array.from({ length: 1003 }, (_, i) => (i * i) % 251);
  expect(crc32(text("123456789"))).toBe(0xcbf43926);
  expect(crc32(bytes.subarray(7, 1001))).toBe(
    crc32(bytes.subarray(100, 1001), crc32(bytes.subarray(7, 100))),
  );
});

describe("reading", () => {
  test.each([false, true])("element types and orders (deflated: %s)", async (deflate) => {
    const cases: [string, Uint8Array, string, number[] | bigint[]][] = [
      ["f4", good, "(2, 3)", [1, 2, 3, 4, 5, 6]],
      [
        "F",
        npy(literal("<f4", "(2, 3)", "True"), floats(1, 4, 2, 5, 3, 6)),
        "",
        [1, 2, 3, 4, 5, 6],
      ],
      ["be", npy(literal(">i2", "(2,)"), Uint8Array.of(1, 0, 255, 254)), "", [256, -2]],
      ["f8", npy(literal("<f8", "()"), new Uint8Array(Float64Array.of(0.1).buffer)), "", [0.1]],
      ["u1", npy(literal("|u1", "(1, 2)"), Uint8Array.of(7, 255)), "", [7, 255]],
      ["b1", npy(literal("|b1", "(2,)"), Uint8Array.of(0, 1)), "", [0, 1]],
      ["i8", npy(literal("<i8", "(1,)"), new Uint8Array(BigInt64Array.of(-5n).buffer)), "", [-5n]],
      ["f2", npy(literal("<f2", "(2,)"), Uint8Array.of(0, 0x3c, 0, 0xc0)), "", [1, -2]],
      ["bf16", npy(literal("<V2", "(1,)"), Uint8Array.of(0x80, 0x3f)), "", [1]],
      ["none", npy(literal("<f4", "(0, 3)"), new Uint8Array(0)), "", []],
      ["v2", npy(literal("<f4", "(1,)"), floats(9), 2), "", [9]],
      ["keys", npy("{'shape':(1L,),'fortran_order':False,'descr':'<f4'}", floats(8)), "", [8]],
    ];
    const archive = zip(cases.map(([name, data]) => ({ name: `a/${name}.npy`, data, deflate })));
    const { entries } = await io.readNpz(archive);
    expect([...entries.keys()]).toEqual(cases.map(([name]) => `a/${name}`));
    for (const [name, , , values] of cases)
      expect([...(await entries.get(`a/${name}`)!.read()).data]).toEqual(values);
    expect(entries.get("a/f4")).toMatchObject({ dtype: "F32", shape: [2, 3] });
  });
  test("a comment behind the directory", async () => {
    const archive = join([zip([{ name: "a.npy", data: good }]), text("hello")]);
    new DataView(archive.buffer).setUint16(archive.length - 7, 5, true);
    expect((await io.readNpz(archive)).entries.size).toBe(1);
  });
  test("a large deflated array in pieces", async () => {
    const data = new Uint8Array(8e6).map((_, i) => (i * i) >> 8);
    const archive = zip([
      { name: "a.npy", data: npy(literal("|u1", "(8000000,)"), data), deflate: true },
    ]);
    const { entries } = await io.readNpz(archive);
    expect(Buffer.compare(Buffer.from((await entries.get("a")!.read()).data.buffer), data)).toBe(0);
  });
});

describe("archives that lie are refused", () => {
  const entry = (more: Partial<Entry> = {}): Entry => ({ name: "a.npy", data: good, ...more });
  test("sizes: a bomb, and less than is said", async () => {
    const zeros = npy(literal("<f4", "(1000000,)"), new Uint8Array(4e6));
    const bomb = entry({ data: zeros, deflate: true, size: good.length });
    await refused(zip([bomb]), /unpacks to more/);
    const short = npy(literal("<f4", "(2, 3)"), new Uint8Array(4e6));
    await refused(
      zip([entry({ data: short, deflate: true, size: good.length })]),
      /unpacks to more|does not unpack/,
    );
    await refused(zip([entry({ deflate: true, size: 1e9 })]), /cannot hold them/);
    const long = npy(literal("<f4", "(2000,)"), floats(1));
    await refused(
      zip([entry({ data: long, deflate: true, size: long.length - 4 + 8000 })]),
      /does not unpack|unpacks to/,
    );
    await refused(zip([entry({ size: good.length + 4 })]), /stored in/);
  });
  test("checksums", async () => {
    await refused(zip([entry({ crc: 1 })]), /checksum/);
    await refused(zip([entry({ crc: 1, deflate: true })]), /does not unpack/);
  });
  test("names and headers", async () => {
    await refused(zip([entry(), entry()]), /two entries are named "a.npy"/);
    await refused(zip([entry(), entry({ name: "b.npy", header: 0 })]), /is not "b.npy"/);
    await refused(zip([entry({ localName: "b.npy" })]), /is not "a.npy"/);
    await refused(zip([entry({ header: 1e6 })]), /lies outside/);
    await refused(zip([entry({ header: 7 })]), /is not "a.npy"/);
    await refused(zip([entry({ name: "a.txt" })]), /no array/);
    await refused(zip([entry({ flags: 1 })]), /encrypted/);
    await refused(zip([entry({ method: 12 })]), /method 12/);
  });
  test("entries that share their bytes", async () => {
    // The second entry's header and bytes lie within the first one's data.
    const inner = zip([{ name: "b.npy", data: good }]).subarray(0, 35 + good.length);
    const outer = npy(literal("|u1", `(${inner.length},)`), inner);
    const at = 30 + 5 + outer.length - inner.length;
    const archive = zip([entry({ data: outer }), { name: "b.npy", data: good, header: at }]);
    await refused(archive, /"b.npy" overlaps/);
  });
  test("the directory", async () => {
    const whole = zip([entry()]);
    await refused(whole.subarray(0, whole.length - 1), /truncated/);
    await refused(whole.subarray(20), /lies outside|where it should|ends at/);
    for (const [offset, value] of [
      [10, 2],
      [12, 1],
      [16, 1],
      [4, 1],
      [16, 0xffffffff],
      [12, 0xffffffff],
    ] as const) {
      const broken = whole.slice();
      new DataView(broken.buffer).setUint32(broken.length - 22 + offset, value, true);
      await refused(broken, /zip:/);
    }
  });
  test("npy headers", async () => {
    const of = (header: string, data = floats(1)) => zip([entry({ data: npy(header, data) })]);
    await refused(of(literal("|O", "(1,)")), /Python objects/);
    await refused(of(literal("<U1", "(1,)")), /text of shape/);
    await refused(of(literal("<c8", "(1,)")), /"<c8"/);
    await refused(of(literal("<f4", "(2,)")), /takes 8 bytes, the file has 4/);
    await refused(of(literal("<f4", "(-1,)")), /not understood/);
    await refused(of(literal("<f4", "(99999999999999,99999999999999)")), /shape/);
    await refused(of(literal("<f4", "(1,)", "1")), /not understood/);
    await refused(
      of("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}"),
      /not understood/,
    );
    await refused(
      of("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}"),
      /not understood/,
    );
    await refused(of("{'descr': '<f4', 'fortran_order': False}"), /not understood/);
    await refused(of("__import__('os')"), /not understood/);
    await refused(zip([entry({ data: text("not an array at all") })]), /no .npy array/);
    await refused(zip([entry({ data: new Uint8Array(3) })]), /no .npy array/);
    await refused(zip([entry({ data: good.slice(0, 20) })]), /too short/);
    await refused(zip([entry({ data: npy(literal("<f4", "(1,)"), floats(1), 9) })]), /version 9/);
  });
});

describe("writing", () => {
  const specs = [
    { name: "m/~/a/w", dtype: "F32", shape: [2, 2] },
    { name: "m/step", dtype: "U32", shape: [] },
  ] as const;
  async function* data() {
    yield floats(1, 2, 3, 4) as Uint8Array<ArrayBuffer>;
    yield new Uint8Array(Uint32Array.of(4_000_000_000).buffer);
  }
  test("what was written is read, and again the same bytes", async () => {
    const bytes = await all(npzChunks(specs, data(), { nfgrad: '{"a":"ä😀"}' }));
    const { entries, texts } = await io.readNpz(bytes);
    expect(texts.get("nfgrad")).toBe('{"a":"ä😀"}');
    expect((await entries.get("m/~/a/w")!.read()).data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect((await entries.get("m/step")!.read()).data).toEqual(Uint32Array.of(4_000_000_000));
    expect(await all(npzChunks(specs, data(), { nfgrad: '{"a":"ä😀"}' }))).toEqual(bytes);
  });
  test("npy headers are padded to 64 bytes and read back", () => {
    for (const shape of [[], [3], [3, 4], [1, 2, 3, 4, 5, 6, 7]]) {
      const header = npyHeader("F32", shape);
      expect(header.length % 64).toBe(0);
      expect(parseNpyHeader(header, "x")).toMatchObject({ shape, fortran: false });
    }
  });
  test("entries and offsets past 4 GiB, and more than 65,535 entries, as zip64", async () => {
    const piece = new Uint8Array(64 << 20);
    const chunks = Array<Uint8Array<ArrayBuffer>>(65).fill(piece);
    async function* parts() {
      yield { name: "big", size: 65 * piece.length, crc: 5, chunks };
      for (let i = 0; i < 66_000; i++)
        yield {
          name: `${i}`,
          size: 1,
          crc: crc32(text("x")),
          chunks: [text("x") as Uint8Array<ArrayBuffer>],
        };
    }
    // The archive as pieces, so that 4 GiB of zeros are in memory once.
    const written: { at: number; bytes: Uint8Array }[] = [];
    let size = 0;
    for await (const bytes of zipChunks(parts())) {
      written.push({ at: size, bytes });
      size += bytes.length;
    }
    const read = async (offset: number, length: number) => {
      const out = new Uint8Array(length);
      let low = 0;
      let high = written.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (written[middle]!.at <= offset) low = middle;
        else high = middle - 1;
      }
      for (let i = low; i < written.length && written[i]!.at < offset + length; i++) {
        const { at, bytes } = written[i]!;
        const from = Math.max(offset, at);
        const to = Math.min(offset + length, at + bytes.length);
        if (bytes !== piece) out.set(bytes.subarray(from - at, to - at), from - offset);
      }
      return out;
    };
    const entries = await readZip({ size, read });
    expect(entries.length).toBe(66_001);
    expect(entries[0]).toMatchObject({ name: "big", size: 65 * piece.length });
    expect(new TextDecoder().decode(await all(unzip({ size, read }, entries.at(-1)!)))).toBe("x");
    expect(entries.at(-1)!.offset).toBeGreaterThan(2 ** 32);
  });
  test("the reader sees an entry through a source of ranges", async () => {
    const bytes = await all(npzChunks(specs, data(), {}));
    const [first] = await readZip(sourceOf(bytes));
    expect((await all(unzip(sourceOf(bytes), first!))).subarray(-16)).toEqual(floats(1, 2, 3, 4));
  });
});
