// What models compute: draws, outputs, gradients, memory, errors. Values and gradients of the reference
// itself are parity's matter.
import {
  type Gpu,
  nn,
  ops,
  random,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, rand, throws } from "../harness.ts";
import { lively, tiny } from "../nets.ts";

const eps = { tolerance: 1e-6, max: 1e-5 };
const imagesOf = (gpu: Gpu, n = 4, side = 16) => gpu.tensor(rand([n, side, side, 3], 21));
/** A model with parameters that all count. */
function tinyNet(gpu: Gpu, options: Partial<nn.NFNetOptions> = {}) {
  const net = nn.nfnet({ variant: tiny, numClasses: 10, stochdepthRate: 0, ...options });
  return { net, params: gpu.init(lively(net.spec), { seed: 1 }) };
}

export const cases: readonly Case[] = [
  {
    name: "a model's draws are rows of keys in order: blocks first, dropout last",
    async run(gpu) {
      const { net, params } = tinyNet(gpu, { stochdepthRate: 0.9, dropRate: 0.5 });
      equal("draws", net.draws, 6);
      const x = imagesOf(gpu, 6);
      const all = random.keys([3, 1], 9);
      const [keys, shifted] = [gpu.tensor(all.data.slice(4), [7, 2]), gpu.tensor(all)];
      const run = (mode: nn.Mode) => gpu.scope(() => net(params, x, mode)).data();
      const evaluated = await run({ train: false });
      const trained = await run({ train: true, keys });
      assert(
        trained.some((v, i) => v !== evaluated[i]),
        "training draws",
      );
      equalBits("from row 2 on", await run({ train: true, keys: shifted, at: 2 }), trained);
      // By hand: the rows in their order, the pool before dropout.
      const want = gpu.scope(() => {
        const { pool } = net.outputs(params, x, { train: true, keys });
        const dropped = ops.dropout(pool, keys, { at: 5, rate: 0.5 });
        return ops.linear(dropped, params.linear.w, params.linear.b);
      });
      near("dropout is the last draw", trained, await want.data(), eps);
      const other = all.data.slice(4);
      other[2 * 6]! ^= 1; // a row behind the last draw
      const unused = gpu.tensor(other, [7, 2]);
      equalBits("row 6 is not used", await run({ train: true, keys: unused }), trained);
      for (const t of [x, keys, shifted, unused, want]) t.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "outputs give the logits' bits, the pool, and metrics where they are wanted",
    async run(gpu) {
      const { net, params } = tinyNet(gpu);
      const x = imagesOf(gpu);
      const logits = gpu.scope(() => net(params, x, { train: false }));
      const plain = gpu.scope(() => net.outputs(params, x, { train: false }));
      equal("no metrics", plain.metrics, undefined);
      equal("pool", plain.pool.shape, [4, 128]);
      equalBits("logits", await plain.logits.data(), await logits.data());
      const full = gpu.scope(() => net.outputs(params, x, { train: false, returnMetrics: true }));
      const { avgSqMean, avgVar, resAvgVar } = full.metrics!;
      equal("counts", [avgSqMean.length, avgVar.length, resAvgVar.length], [7, 7, 6]);
      equalBits("logits with metrics", await full.logits.data(), await logits.data());
      // After the stem, by hand.
      const { stem: p } = params;
      const act = (h: Tensor) => ops.scaledActivation(h, { kind: "gelu" });
      const stem = gpu.scope(() => {
        const conv = (of: typeof p.conv0, h: Tensor, stride: number) =>
          ops.conv2d(h, ops.standardize(of.w, of.gain), of.bias, { stride });
        const first = act(conv(p.conv0, x, 2));
        return conv(p.conv3, act(conv(p.conv2, act(conv(p.conv1, first, 1)), 1)), 2);
      });
      const data = await stem.data();
      const ch = 8;
      const rows = data.length / ch;
      let [sq, variance] = [0, 0];
      for (let c = 0; c < ch; c++) {
        const column = Array.from({ length: rows }, (_, r) => data[r * ch + c]!);
        const mean = column.reduce((s, v) => s + v, 0) / rows;
        sq += mean ** 2 / ch;
        variance += column.reduce((s, v) => s + (v - mean) ** 2, 0) / rows / ch;
      }
      near("avgSqMean", [await avgSqMean[0]!.item()], [sq], { tolerance: 1e-5, max: 1 });
      near("avgVar", [await avgVar[0]!.item()], [variance], { tolerance: 1e-5, max: 1 });
      const made = [logits, plain.logits, plain.pool, full.logits, full.pool, stem, x];
      for (const t of [...made, ...avgSqMean, ...avgVar, ...resAvgVar]) t.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "the parts of a model give its logits' bits, one after another",
    async run(gpu) {
      const { net, params } = tinyNet(gpu);
      const x = imagesOf(gpu);
      const parts = net.parts(params);
      const blocks = net.blocks.map((_, i) => `block ${i}`);
      equal("names", parts.map(({ name }) => name).join(), ["stem", ...blocks, "head"].join());
      const logits = gpu.scope(() => net(params, x, { train: false }));
      const made = [x];
      for (const { run } of parts) made.push(gpu.scope(() => run(made.at(-1)!)));
      equalBits("logits", await made.at(-1)!.data(), await logits.data());
      for (const t of [logits, ...made]) t.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "a fresh NFNet is its shortcuts: skip gains are 0 and only they learn inside the blocks",
    async run(gpu) {
      const net = nn.nfnet({ variant: tiny, numClasses: 10 });
      const params = gpu.init(net.spec, { seed: 4 });
      const x = imagesOf(gpu);
      const labels = gpu.tensor(Uint32Array.of(1, 5, 0, 9), [4]);
      const keys = gpu.tensor(random.keys([0, 0], net.draws));
      const step = valueAndGrad((p: typeof params) =>
        ops.softmaxCrossEntropy(net(p, x, { train: true, keys }), labels),
      );
      const { value, grads } = await gpu.read(
        gpu.scope(() => {
          const { value, grads } = step(params);
          return { value, grads };
        }),
      );
      assert(Math.abs(value.data[0]! - Math.log(10)) < 0.1, "loss of a guess", value.data[0]);
      const nonzero = (a: { data: ArrayLike<number> }) => Array.from(a.data).some((v) => v !== 0);
      for (const [i, block] of grads.blocks.entries()) {
        const own = [nonzero(block.conv0.w), nonzero(block.conv2.w), nonzero(block.skipGain)];
        equal(`block ${i}`, own, [false, false, true]);
        if (block.convShortcut) assert(nonzero(block.convShortcut.w), `shortcut ${i}`);
      }
      for (const g of [grads.stem.conv0.w, grads.finalConv.gain, grads.linear.b])
        assert(nonzero(g) && Array.from(g.data).every(Number.isFinite), "gradients");
      for (const t of [x, labels, keys]) t.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "glu halves channels, and a model built with it knows",
    async run(gpu) {
      const { net, params } = tinyNet(gpu, { activation: "glu" });
      equal("w", net.spec.blocks[0]!.conv1.w.shape, [3, 3, 4, 8]);
      equal("classifier", net.spec.linear.w.shape, [64, 10]);
      const x = imagesOf(gpu);
      const logits = gpu.scope(() => net(params, x, { train: false }));
      assert((await logits.data()).every(Number.isFinite), "finite");
      for (const t of [x, logits]) t.dispose();
      tree.dispose(params);
    },
  },
  {
    name: "inference leaves its result alone, and a deeper network needs no more buffers",
    async run(gpu) {
      const x = gpu.tensor(rand([3, 23, 29, 3], 8));
      const made = [1, 4].map((depth) =>
        tinyNet(gpu, { variant: { ...tiny, depth: [2, 2, 2, 2].map((d) => d * depth) } }),
      );
      const created: number[] = [];
      for (const { net, params } of made) {
        const { live } = gpu.memory();
        const logits = net(params, x, { train: false });
        equal("live", gpu.memory().live, live + 1);
        const both = net.outputs(params, x, { train: false });
        equal("live with outputs", gpu.memory().live, live + 3);
        for (const t of [logits, both.logits, both.pool]) t.dispose();
        await gpu.sync();
        created.push(gpu.memory().created);
      }
      equal("buffers made for 32 blocks after 8", created[1]! - created[0]!, 0);
      x.dispose();
      for (const { params } of made) tree.dispose(params);
    },
  },
  {
    name: "missing keys and wrong images are named before anything runs",
    async run(gpu) {
      const { net, params } = tinyNet(gpu, { stochdepthRate: 0.1, dropRate: 0.1 });
      const x = imagesOf(gpu);
      const few = gpu.tensor(random.keys([0, 0], 5));
      const { dispatches } = gpu.counts();
      const run =
        (mode: nn.Mode, images = x) =>
        () =>
          net(params, images, mode);
      await throws("none", run({ train: true }), ShapeError, /nfnet/, /6 masks/, /no keys/);
      await throws("few", run({ train: true, keys: few }), ShapeError, /keys is \[5,2\]/);
      const block = nn.nfBlock({ inCh: 8, outCh: 8, groupSize: 4, stochdepthRate: 0.5 });
      const p = gpu.init(block.spec, {});
      const y = gpu.tensor(rand([1, 2, 2, 8], 1));
      await throws("block", () => block(p, y, { train: true }), ShapeError, /nfBlock/, /no keys/);
      equal("dispatches", gpu.counts().dispatches, dispatches);
      const grey = gpu.tensor(rand([2, 8, 8, 1], 1));
      await throws("grey", run({ train: false }, grey), ShapeError, /conv2d/, /\[2,8,8,1\]/);
      for (const t of [x, few, y, grey]) t.dispose();
      tree.dispose(params);
      tree.dispose(p);
    },
  },
];
