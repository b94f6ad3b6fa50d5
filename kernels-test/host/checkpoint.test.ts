// Checkpoints: what is written comes back bit for bit, and every wrong file is one FormatError that names it.
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FormatError,
  type Gpu,
  io,
  nn,
  optim,
  ShapeError,
  type Tensor,
  tree,
} from "../../src/index.ts";
import { load, openFile, save, writeCheckpoint } from "../../src/io/checkpoint.ts";
import { safetensorsBytes } from "../../src/io/safetensors.ts";
import { openTestGpu } from "../gpu.ts";

const root = mkdtempSync(join(tmpdir(), "nfgrad-checkpoint-"));
const path = join(root, "a.safetensors");
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(async () => {
  await gpu.close();
  rmSync(root, { recursive: true });
});

const make = () => ({
  params: {
    w: gpu.tensor(Float32Array.of(1.5, Number.NaN, -0, Number.POSITIVE_INFINITY), [2, 2]),
    blocks: [{ b: gpu.tensor([3]) }, { b: gpu.tensor([-4.25]) }],
  },
  step: gpu.tensor(Uint32Array.of(4_000_000_000), []),
});
const bits = async (t: Tensor) => [...new Uint32Array((await t.data()).buffer)];
const meta = { step: 7, name: "ä", nested: { list: [1, null] } };

test("a tree comes back bit for bit, with its meta", async () => {
  const tree = make();
  await writeCheckpoint(path, tree, meta);
  expect(readdirSync(root)).toEqual(["a.safetensors"]);
  const loaded = await load(await openFile(path));
  expect(loaded.meta).toEqual(meta);
  const fresh = { ...gpu.zerosLike(tree) };
  await gpu.assign(fresh, loaded.tensors);
  for (const pick of [
    (t: typeof tree) => t.params.w,
    (t: typeof tree) => t.params.blocks[1]!.b,
    (t: typeof tree) => t.step,
  ])
    expect(await bits(pick(fresh))).toEqual(await bits(pick(tree)));
});

test("a Blob holds the same bytes as the file, and loads", async () => {
  const blob = await save(make(), meta);
  expect(new Uint8Array(await blob.arrayBuffer())).toEqual(new Uint8Array(readFileSync(path)));
  expect((await load(blob)).meta).toEqual(meta);
  expect((await load(new Uint8Array(await blob.arrayBuffer()))).meta).toEqual(meta);
});

test("a part of a file can be assigned", async () => {
  const { tensors } = await load(await openFile(path));
  const step = gpu.zeros([], "u32");
  await gpu.assign({ step }, { step: tensors.step! });
  expect(await bits(step)).toEqual([4_000_000_000]);
});

test("a tree that does not fit is refused before anything is written", async () => {
  const { tensors } = await load(await openFile(path));
  const tree = { ...make(), params: { w: gpu.tensor([1, 2, 3]), blocks: [] } };
  await expect((async () => gpu.assign(tree as object, tensors))()).rejects.toThrow(ShapeError);
  expect(await bits(tree.params.w)).toEqual(await bits(gpu.tensor([1, 2, 3])));
});

test("an empty tree is refused and leaves no file", async () => {
  await expect(writeCheckpoint(join(root, "b"), {})).rejects.toThrow(/the tree holds no tensor/);
  expect(readdirSync(root)).toEqual(["a.safetensors"]);
});

describe("wrong files", () => {
  const broken = join(root, "broken.safetensors");
  const text = (s: string) => new TextEncoder().encode(s);
  const file = (header: string, data = 0) => {
    const length = new BigUint64Array([BigInt(text(header).length)]);
    return Buffer.concat([Buffer.from(length.buffer), text(header), Buffer.alloc(data)]);
  };
  const entry = (more: object = {}) =>
    JSON.stringify({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...more } });

  async function fails(bytes: Uint8Array, message: RegExp) {
    writeFileSync(broken, bytes);
    const error = await load(await openFile(broken)).catch((e: Error) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/broken\.safetensors: /);
  }
  test("truncated anywhere", async () => {
    const whole = readFileSync(path);
    for (const length of [0, 7, 8, 9, 100, whole.length - 5, whole.length - 1])
      await fails(whole.subarray(0, length), /./);
  });
  test("bytes behind the end", () => fails(Buffer.concat([readFileSync(path), Buffer.of(0)]), /./));
  test("garbage", () => fails(Buffer.alloc(5000, 0xa7), /header claims/));
  test("not JSON", () => fails(file("{nonsense", 0), /not JSON/));
  test("a shape that lies", () => fails(file(entry({ shape: [3] }), 8), /12 bytes/));
  test("offsets past the end", () => fails(file(entry(), 4), /truncated/));
  test("a dtype that no tensor has", () =>
    fails(file(entry({ dtype: "F64", shape: [1] }), 8), /"a" is F64/));
  test("a name below another tensor", () => {
    const one = { data: new Float32Array(1), shape: [1] };
    return fails(safetensorsBytes({ a: one, "a/b": one }), /"a\/b" lies below/);
  });
  test("meta that is not JSON", () => {
    const one = { data: new Float32Array(1), shape: [1] };
    return fails(safetensorsBytes({ a: one }, { nfgrad: "{" }), /"nfgrad" entry .* is not JSON/);
  });
  test("a file that shrinks after it was opened", async () => {
    writeFileSync(broken, readFileSync(path));
    const { tensors } = await load(await openFile(broken));
    truncateSync(broken, 300);
    const step = gpu.zeros([], "u32");
    await expect(gpu.assign({ step }, { step: tensors.step! })).rejects.toThrow(FormatError);
  });
  test("the engine still works", async () => {
    expect(await gpu.tensor([5]).data()).toEqual(Float32Array.of(5));
  });
});

test("running statistics and an optimizer's step lie under Haiku's names, and come back", async () => {
  const model = nn.resnet({ variant: { depth: [1, 1, 1, 1] }, width: 1, numClasses: 3 });
  const [params, state] = [gpu.init(model.spec, { seed: 1 }), gpu.init(model.stateSpec)];
  const opt = optim.adam(params);
  const grads = gpu.init(model.spec, { seed: 3 });
  opt.update(grads, { lr: 0.01 });
  gpu.assign(state.finalBn!.meanEma.counter, { data: Float32Array.of(7), shape: [] });
  const beside = { state, opt: opt.state };
  for (const format of ["npz", "safetensors"] as const) {
    const file = await io.saveHaiku(params, model, { format, beside, meta: { step: 1 } });
    const names = [...(await io.readHaiku(file)).keys()];
    expect(names).toContain("state/ResNet/~/final_bn/~/mean_ema/counter");
    expect(names).toContain("opt/expAvg/ResNet/~/initial_conv/w");
    expect(names).toContain("opt/step");
    const found = await io.openHaiku(file, model);
    const fresh = { params: gpu.init(model.spec, { seed: 2 }), state: gpu.init(model.stateSpec) };
    const other = optim.adam(fresh.params);
    await gpu.assign(fresh.params, found.params);
    await gpu.assign({ state: fresh.state, opt: other.state }, found.beside);
    expect(await other.state.step.item()).toBe(1);
    const [is, was] = await Promise.all([
      gpu.read({ ...fresh, opt: other.state }),
      gpu.read({ params, state, opt: opt.state }),
    ]);
    expect(is).toEqual(was);
    other.dispose();
    tree.dispose(fresh);
  }
  opt.dispose();
  tree.dispose([params, state, grads]);
});
