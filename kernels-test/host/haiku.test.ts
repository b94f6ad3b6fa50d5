// Files of parameters under Haiku's names: what is written comes back and training goes on with the same bits; wrong
// files change nothing; memory is bounded. Files that Python wrote are in the goldens (parity, category checkpoints).
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FormatError,
  type Gpu,
  io,
  nn,
  OptionError,
  ops,
  optim,
  random,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { openTestGpu } from "../gpu.ts";
import { join as joinBytes, pickleOf, rampAt, treeOf } from "./pickleWriter.ts";

const root = mkdtempSync(join(tmpdir(), "nfgrad-haiku-"));
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(async () => {
  await gpu.close();
  rmSync(root, { recursive: true });
});

const sizes = { depth: [1, 1], groupWidth: [4, 4], trainImsize: 16, testImsize: 16, dropRate: 0.1 };
const small = nn.nfnet({ variant: { width: [8, 8], ...sizes }, numClasses: 5 });
const shapesOf = (model: nn.NFNet) => {
  const params = gpu.init(model.spec, { zeros: true });
  const shapes = Object.fromEntries(tree.leaves(params).map((l) => [l.path, l.tensor.shape]));
  tree.dispose(params);
  return shapes;
};
const bitsOf = async (of: object) => {
  const data = await Promise.all(tree.leaves(of).map(({ tensor }) => tensor.data()));
  return data.map(({ buffer }) => [...new Uint32Array(buffer)]);
};

/** A training run that can be saved and taken up again. */
function training(model: nn.NFNet, seed: number) {
  const params = gpu.init(model.spec, { seed });
  const opt = optim.sgdAgc(params, {
    momentum: 0.9,
    nesterov: true,
    weightDecay: 2e-5,
    groups: optim.nfnetGroups(model),
    ema: { decay: 0.99 },
  });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, y: Tensor, keys: Tensor) =>
    ops.softmaxCrossEntropy(model(p, x, { train: true, keys }), y, { smoothing: 0.1 }),
  );
  const step = gpu.record((x: Tensor, y: Tensor, lr: Tensor, at: Tensor, keys: Tensor) => {
    const { value, grads } = lossAndGrad(params, x, y, keys);
    opt.update(grads, { lr, step: at });
    return value;
  });
  const images = Float32Array.from({ length: 4 * 16 * 16 * 3 }, (_, i) => Math.sin(i * i));
  const labels = Uint32Array.of(0, 3, 1, 4);
  const run = async (from: number, to: number) => {
    const losses: number[] = [];
    for (let t = from; t < to; t++) {
      const x = { data: images.map((v) => v * Math.cos(t)), shape: [4, 16, 16, 3] };
      const keys = random.keys([seed, t], model.draws);
      losses.push(await step(x, labels, 0.05 / (t + 1), t, keys).item());
    }
    return losses;
  };
  const all = { params, opt: opt.state, ema: opt.ema! };
  const dispose = () => {
    step.dispose();
    opt.dispose();
    tree.dispose(params);
  };
  return { ...all, all, run, dispose };
}

describe("training goes on from a file with the same bits", () => {
  test.each(["run.npz", "run.safetensors"])("%s", async (name) => {
    const path = join(root, name);
    const first = training(small, 7);
    await first.run(0, 3);
    const { params, opt, ema } = first;
    const meta = { step: 3, seed: 7, key: random.key(7) };
    await io.writeHaiku(path, params, small, { beside: { opt, ema }, meta });
    const losses = await first.run(3, 6);

    const saved = await io.openHaiku(await io.openFile(path), small);
    expect(saved.meta).toEqual(meta);
    const second = training(small, saved.meta.seed as number);
    await gpu.assign(second.all as object, { params: saved.params, ...saved.beside });
    expect(await second.run(saved.meta.step as number, 6)).toEqual(losses);
    expect(await bitsOf(second.all)).toEqual(await bitsOf(first.all));
    expect(await bitsOf(second.params)).not.toEqual(await bitsOf(second.ema));
    first.dispose();
    second.dispose();
  });

  test("names in the file: Haiku's, with what lies beside under names of its own", async () => {
    const { entries, texts } = await io.readNpz(await io.openFile(join(root, "run.npz")));
    expect([...entries.keys()]).toContain("NFNet/~/nf_block_1/~/squeeze_excite/~/linear_1/w");
    expect([...entries.keys()]).toContain("opt/momentum/NFNet/~/linear/w");
    expect([...entries.keys()]).toContain("ema/NFNet/~/nf_block/skip_gain");
    expect(entries.size).toBe(3 * Object.keys(small.names).length);
    expect(JSON.parse(texts.get("nfgrad")!)).toMatchObject({ step: 3, seed: 7 });
    expect(readdirSync(root).sort()).toEqual(["run.npz", "run.safetensors"]);
  });

  test("a Blob holds the same bytes as the file", async () => {
    const params = gpu.init(small.spec, { seed: 1 });
    for (const format of ["npz", "safetensors"] as const) {
      const options = { beside: { step: gpu.tensor(Uint32Array.of(9), []) }, meta: { a: "ä€😀" } };
      const blob = await io.saveHaiku(params, small, { ...options, format });
      const path = join(root, `blob.${format}`);
      await io.writeHaiku(path, params, small, options);
      expect(new Uint8Array(await blob.arrayBuffer())).toEqual(new Uint8Array(readFileSync(path)));
      const { meta, beside } = await io.openHaiku(blob, small);
      expect(meta).toEqual({ a: "ä€😀" });
      const step = gpu.zeros([], "u32");
      await gpu.assign({ step } as object, beside);
      expect(await step.item()).toBe(9);
      rmSync(path);
    }
    tree.dispose(params);
  });

  test("what cannot be named is refused and leaves no file", async () => {
    const params = gpu.init(small.spec);
    const path = join(root, "none.npz");
    const write = (...args: [object, io.HaikuOptions?, string?]) =>
      io.writeHaiku(args[2] ?? path, args[0], small, args[1]);
    const one = gpu.tensor([1]);
    await expect(write(params, {}, join(root, "none.bin"))).rejects.toThrow(OptionError);
    await expect(write({ ...params, extra: one })).rejects.toThrow(/no parameter 'extra'/);
    await expect(write({ linear: params.linear })).rejects.toThrow(/2 parameters are given/);
    await expect(write(params, { beside: { NFNet: one } })).rejects.toThrow(/the model's name/);
    await expect(write(params, { beside: { nfgrad: one } })).rejects.toThrow(/"nfgrad"/);
    expect(readdirSync(root).sort()).toEqual(["run.npz", "run.safetensors"]);
    tree.dispose(params);
  });
});

describe("wrong files are one clear FormatError, and nothing is changed", () => {
  const wide = nn.nfnet({ variant: { width: [8, 16], ...sizes }, numClasses: 5 });
  const deep = nn.nfnet({ variant: { width: [8, 8], ...sizes, depth: [1, 2] }, numClasses: 5 });
  const fileOf = (model: nn.NFNet) =>
    joinBytes([...pickleOf(treeOf({ names: model.names, shapes: shapesOf(model) }), 4)]);

  async function refused(source: io.ByteSource, model: nn.NFNet, message: RegExp) {
    const params = gpu.init(model.spec, { seed: 3 });
    const before = await bitsOf(params);
    const load = async () => gpu.assign(params as object, await io.loadHaiku(source, model));
    const error = await load().then(
      () => null,
      (e: Error) => e,
    );
    expect(error).toBeInstanceOf(FormatError);
    expect(error!.message).toMatch(message);
    expect(error!.message.length).toBeLessThan(700);
    expect(await bitsOf(params)).toEqual(before);
    tree.dispose(params);
  }

  test("of a larger model", () =>
    refused(
      fileOf(deep),
      small,
      /17 of the file's \d+ are unknown \("NFNet\/~\/nf_block_2.*14 more/,
    ));
  test("of a smaller model", () =>
    refused(fileOf(small), deep, /17 of the model's \d+ are missing \("NFNet\/~\/nf_block_2/));
  test("of other shapes", () =>
    refused(
      fileOf(wide),
      small,
      /"NFNet\/~\/\S+" is \[[\d,]+\] in the file, \[[\d,]+\] in the model/,
    ));
  test("of another network altogether", () => {
    const leaf = { shape: [2], data: () => [new Uint8Array(8)] };
    const file = joinBytes([...pickleOf({ "ResNet/~/conv": { w: leaf } }, 4)]);
    return refused(file, small, /are missing .* and \d+ more\); 1 of the file's 1 are unknown/);
  });
  test("of another author with arrays beside", async () => {
    const params = gpu.init(small.spec);
    const blob = await io.saveHaiku(params, small, { beside: { opt: { x: gpu.tensor([1]) } } });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const text = new TextDecoder("latin1").decode(bytes).replace('"nfgrad"', '"foobar"');
    const other = Uint8Array.from(text, (c) => c.charCodeAt(0));
    tree.dispose(params);
    await refused(other, small, /1 of the file's \d+ are unknown \("opt\/x"\)/);
  });
  test("with one array whose bytes do not decode, the last one", async () => {
    const names = treeOf({ names: small.names, shapes: shapesOf(small) });
    const file = joinBytes([...pickleOf(names, 2)]);
    const at = file.lastIndexOf(0xc3); // the first half of a character of the last array that has one
    file[at + 1] = 0x21;
    await refused(file, small, /an array's text is not UTF-8/);
  });
  test("with one damaged entry in a zip, the last one", async () => {
    const params = gpu.init(small.spec);
    const blob = await io.saveHaiku(params, small, { format: "npz" });
    tree.dispose(params);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const directory = bytes.findIndex(
      (_, i) => i > 1000 && bytes[i] === 0x50 && bytes[i + 1] === 0x4b && bytes[i + 2] === 1,
    );
    bytes[directory - 2]! ^= 1;
    await refused(bytes, small, /is damaged: its checksum differs/);
  });
  test("a file's name is at the beginning of what is said", async () => {
    const file = await io.openFile(join(root, "run.npz"));
    await refused(file, deep, /^\S+run\.npz: haiku: /);
  });
});

describe("memory", () => {
  /** Reads and their sizes. */
  function counting(bytes: Uint8Array) {
    const reads: number[] = [];
    const read = async (offset: number, length: number) => {
      reads.push(length);
      return bytes.slice(offset, offset + length);
    };
    return { size: bytes.length, read, reads };
  }
  // 40 MB, of which the largest array is 19 MB.
  const big = nn.nfnet({
    variant: { ...sizes, width: [128, 1536], groupWidth: [64, 128] },
    numClasses: 1000,
  });

  test.each([2, 4] as const)(
    "protocol %i: arrays are not read while parsing, and in pieces then",
    async (protocol) => {
      const shapes = shapesOf(big);
      const pieces = [...pickleOf(treeOf({ names: big.names, shapes }), protocol)];
      const source = counting(joinBytes(pieces));
      expect(source.size).toBeGreaterThan(40e6);
      await io.readHaiku(source);
      const parsing = source.reads.reduce((a, b) => a + b, 0);
      expect(Math.max(...source.reads)).toBeLessThanOrEqual(16 << 10);
      expect(parsing).toBeLessThan(3e6);
      source.reads.length = 0;
      const params = gpu.init(big.spec, { zeros: true });
      await gpu.assign(params as object, await io.loadHaiku(source, big));
      expect(Math.max(...source.reads)).toBeLessThanOrEqual(4 << 20);
      let at = 0;
      for (const { path, tensor } of tree.leaves(params)) {
        const { size } = tensor;
        if (/linear\/w|skipGain|conv0\/w|finalConv/.test(path)) {
          const data = await tensor.data();
          for (const i of [0, size >> 1, size - 1]) expect(data[i]).toBe(rampAt(at + i));
        }
        at += size;
      }
      tree.dispose(params);
    },
  );

  test("an array of more than 2 GiB is read in pieces", async () => {
    const count = 600e6;
    const piece = new Uint8Array(60e6 * 4);
    const leaf = { shape: [600, 1000, 1000], data: () => Array<Uint8Array>(10).fill(piece) };
    const parts = [...pickleOf({ m: { w: leaf } }, 4)];
    const size = parts.reduce((n, { length }) => n + length, 0);
    let largest = 0;
    const read = async (offset: number, length: number) => {
      largest = Math.max(largest, length);
      const out = new Uint8Array(length);
      let at = 0;
      for (const part of parts) {
        const from = Math.max(offset, at);
        const to = Math.min(offset + length, at + part.length);
        if (from < to && part !== piece) out.set(part.subarray(from - at, to - at), from - offset);
        at += part.length;
      }
      return out;
    };
    const lazy = (await io.readHaiku({ size, read })).get("m/w")!;
    let taken = 0;
    for await (const values of lazy.pieces!()) {
      taken += values.length;
      if (taken > 20e6) break; // a part of it is enough
    }
    expect(lazy.shape.reduce((a, b) => a * b)).toBe(count);
    expect(largest).toBeLessThanOrEqual(4 << 20);
  });
});
