// What layers and models compute, held against the same written with plain ops; masks, memory, errors.
// Values and gradients of the reference itself are parity's matter.
import {
  type Gpu,
  nn,
  ops,
  type ParamSpec,
  type Params,
  random,
  ShapeError,
  type SpecTree,
  type Tensor,
  tree,
  valueAndGrad,
  vjp,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, rand, throws } from "../harness.ts";
import { tiny } from "./nnSpec.ts";

const isParam = (node: object): node is ParamSpec => "init" in node;
/** The same spec with values that make every parameter count: gains near 1, skip gains 0.5. */
function lively<S extends SpecTree>(spec: S): S {
  const walk = (node: SpecTree, name: string): unknown => {
    if (Array.isArray(node)) return node.map((sub: SpecTree) => walk(sub, name));
    if (!isParam(node)) {
      return Object.fromEntries(Object.entries(node).map(([k, sub]) => [k, walk(sub, k)]));
    }
    const { init } = node;
    if (name === "skipGain") return { ...node, init: nn.init.constant(0.5) };
    return { ...node, init: init.random ? init : nn.init.normal(0.1, name === "gain" ? 1 : 0) };
  };
  return walk(spec, "") as S;
}
type BlockParams = Params<nn.BlockSpec>;
const eps = { tolerance: 1e-6, max: 1e-5 };

/** A block by the reference's formulas, one plain op for each of their operations. */
function plainBlock(p: BlockParams, x: Tensor, { config: c }: nn.Block, style: Style): Tensor {
  const { kind, regnet = false, resnet = false } = style;
  const act = (h: Tensor) => ops.scaledActivation(h, { kind });
  const conv = (of: { w: Tensor; gain: Tensor; bias: Tensor }, h: Tensor, stride = 1, groups = 1) =>
    ops.add(ops.conv2d(h, ops.standardize(of.w, of.gain), null, { stride, groups }), of.bias);
  const excite = (h: Tensor) => {
    const { linear, linear1 } = p.squeezeExcite!;
    const mean = ops.mean(h, { axis: [1, 2] });
    const hidden = ops.relu(ops.add(ops.matmul(mean, linear.w), linear.b));
    const gate = ops.sigmoid(ops.add(ops.matmul(hidden, linear1.w), linear1.b));
    const [n, , , ch] = h.shape;
    return ops.mul(ops.mul(ops.reshape(gate, { shape: [n!, 1, 1, ch!] }), 2), h);
  };
  const start = ops.mul(act(x), c.beta);
  let shortcut = x;
  if (resnet && p.convShortcut) shortcut = conv(p.convShortcut, start, c.stride);
  else if (c.stride > 1) {
    const pooled = ops.avgPool(start, { window: 2, stride: 2, padding: "SAME" });
    shortcut = conv(p.convShortcut!, pooled);
  } else if (p.convShortcut) shortcut = conv(p.convShortcut, start);
  let h = conv(p.conv1, act(conv(p.conv0, start)), c.stride, c.groups);
  if (p.conv1b) h = conv(p.conv1b, act(h), 1, c.groups);
  if (regnet) h = excite(h);
  h = conv(p.conv2, act(h));
  if (!regnet && p.squeezeExcite) h = excite(h);
  return ops.add(ops.mul(ops.mul(h, p.skipGain), c.alpha), shortcut);
}
interface Style {
  readonly kind: "gelu" | "silu" | "relu" | "tanh";
  readonly regnet?: boolean;
  readonly resnet?: boolean;
}

const shared = { alpha: 0.3, beta: 0.8, inCh: 12 };
const blocks: readonly (readonly [string, nn.Block, Style])[] = [
  [
    "nfBlock, identity shortcut",
    nn.nfBlock({ ...shared, outCh: 12, groupSize: 3 }),
    { kind: "gelu" },
  ],
  ["nfBlock, projection", nn.nfBlock({ ...shared, outCh: 16, groupSize: 4 }), { kind: "gelu" }],
  [
    "nfBlock, strided with the channels kept",
    nn.nfBlock({ ...shared, outCh: 12, groupSize: 2, stride: 2, activation: "tanh" }),
    { kind: "tanh" },
  ],
  [
    "nfBlock, one 3x3 convolution",
    nn.nfBlock({ ...shared, outCh: 20, groupSize: 5, stride: 2, useTwoConvs: false }),
    { kind: "gelu" },
  ],
  [
    "nfRegnetBlock",
    nn.nfRegnetBlock({ ...shared, outCh: 10, stride: 2 }),
    { kind: "silu", regnet: true },
  ],
  [
    "nfResBlock",
    nn.nfResBlock({ ...shared, outCh: 16, stride: 2, activation: "tanh" }),
    { kind: "tanh", resnet: true },
  ],
  [
    "nfResBlock with squeeze-and-excite",
    nn.nfResBlock({ ...shared, outCh: 12, useSe: true, seRatio: 0.5, activation: "silu" }),
    { kind: "silu", resnet: true },
  ],
];

const composed: Case[] = blocks.map(([name, block, style]) => ({
  name: `${name}: values and gradients of plain ops`,
  async run(gpu) {
    const p = gpu.init(lively(block.spec), { seed: 3 });
    const x = gpu.tensor(rand([2, 5, 7, 12], 11));
    const fused = (q: { p: BlockParams; x: Tensor }) => block(q.p, q.x, { train: false });
    const plain = (q: { p: BlockParams; x: Tensor }) => plainBlock(q.p, q.x, block, style);
    const side = 5 / block.config.stride;
    const shape = [2, Math.ceil(side), Math.ceil(7 / block.config.stride), block.config.outCh];
    const dy = gpu.tensor(rand(shape, 12));
    const results = await Promise.all(
      [fused, plain].map((f) =>
        gpu.read(
          gpu.scope(() => {
            const { value, grads } = vjp(f)({ p, x }, dy);
            return { value, grads };
          }),
        ),
      ),
    );
    const [ours, want] = results;
    equal("shape", ours!.value.shape, shape);
    near("value", ours!.value.data, want!.value.data, eps);
    const paths = Object.keys(nn.haikuNames(block.spec, "block"));
    const leaf = (of: unknown, path: string) =>
      path.split("/").reduce((o, k) => (o as Record<string, unknown>)[k], of) as {
        data: Float32Array;
      };
    for (const path of ["x", ...paths.map((path) => `p/${path}`)]) {
      const data = leaf(ours!.grads, path).data;
      near(`d${path}`, data, leaf(want!.grads, path).data, { tolerance: 2e-5, max: 1e-4 });
      assert(
        data.some((v) => v !== 0),
        `d${path} is not all zero`,
      );
    }
    const { resAvgVar, out } = gpu.scope(() => block.outputs(p, x, { train: false }));
    equalBits("outputs' out", await out.data(), ours!.value.data);
    assert((await resAvgVar.item()) > 0, "resAvgVar");
    for (const t of [x, dy, resAvgVar, out]) t.dispose();
    tree.dispose(p);
  },
}));

const imagesOf = (gpu: Gpu, n = 4, side = 16) => gpu.tensor(rand([n, side, side, 3], 21));
/** A model with parameters that all count. */
function tinyNet(gpu: Gpu, options: Partial<nn.NFNetOptions> = {}) {
  const net = nn.nfnet({ variant: tiny, numClasses: 10, stochdepthRate: 0, ...options });
  return { net, params: gpu.init(lively(net.spec), { seed: 1 }) };
}

export const cases: readonly Case[] = [
  ...composed,
  {
    name: "a layer of one's own is a spec and a function",
    async run(gpu) {
      const gated = ({ inCh, outCh }: { inCh: number; outCh: number }) =>
        nn.layer(
          {
            w: nn.param([inCh, outCh], nn.init.lecunNormal),
            gate: nn.param([outCh], nn.init.zeros),
          },
          (p, x: Tensor) => ops.mul(ops.matmul(x, p.w), ops.sigmoid(p.gate)),
        );
      const one = gated({ inCh: 3, outCh: 5 });
      const two = gated({ inCh: 5, outCh: 2 });
      const both = nn.layer({ first: one.spec, rest: [two.spec] }, (p, x: Tensor) =>
        two(p.rest[0]!, one(p.first, x)),
      );
      const p = gpu.init(both.spec, { seed: 2 });
      const x = gpu.tensor(rand([4, 3], 2));
      const y = gpu.scope(() => both(p, x));
      const want = gpu.scope(() =>
        ops.mul(ops.matmul(ops.matmul(x, p.first.w), p.rest[0]!.w), 0.25),
      );
      near("values", await y.data(), await want.data(), eps);
      equal(
        "own specs",
        [one.spec.w.shape, two.spec.w.shape],
        [
          [3, 5],
          [5, 2],
        ],
      );
      for (const t of [x, y, want]) t.dispose();
      tree.dispose(p);
    },
  },
  {
    name: "wsConv2d always has a bias, and its options reach the convolution",
    async run(gpu) {
      const layer = nn.wsConv2d({
        ...{ inCh: 4, outCh: 6, kernelShape: [3, 1], stride: [1, 2], groups: 2 },
        ...{ padding: "VALID", dilation: [2, 1] },
      });
      equal("w", layer.spec.w.shape, [3, 1, 2, 6]);
      const p = gpu.init(lively(layer.spec), {});
      const x = gpu.tensor(rand([2, 8, 7, 4], 5));
      const got = gpu.scope(() => layer(p, x, { eps: 0.5 }));
      const want = gpu.scope(() => {
        const w = ops.standardize(p.w, p.gain, { eps: 0.5 });
        const attrs = { stride: [1, 2], dilation: [2, 1], groups: 2, padding: "VALID" } as const;
        return ops.add(ops.conv2d(x, w, null, attrs), p.bias);
      });
      equal("shape", got.shape, [2, 4, 4, 6]);
      near("values", await got.data(), await want.data(), eps);
      for (const t of [x, got, want]) t.dispose();
      tree.dispose(p);
    },
  },
  {
    name: "squeezeExcite gives the gate, its logits what comes before the sigmoid",
    async run(gpu) {
      const se = nn.squeezeExcite({ inCh: 6, outCh: 10 });
      const p = gpu.init(lively(se.spec), {});
      const x = gpu.tensor(rand([3, 4, 5, 6], 6));
      const gate = gpu.scope(() => se(p, x));
      const logits = gpu.scope(() => se.logits(p, x));
      equal(
        "shapes",
        [gate.shape, logits.shape],
        [
          [3, 1, 1, 10],
          [3, 10],
        ],
      );
      const want = Array.from(await logits.data(), (v) => 1 / (1 + Math.exp(-v)));
      near("gate", await gate.data(), want, eps);
      for (const t of [x, gate, logits]) t.dispose();
      tree.dispose(p);
    },
  },
  {
    name: "stochastic depth drops whole residual branches, of the samples that JAX's uniforms say",
    async run(gpu) {
      const block = nn.nfBlock({ inCh: 8, outCh: 8, groupSize: 4, stochdepthRate: 0.5 });
      const p = gpu.init(lively(block.spec), {});
      const n = 12;
      const x = gpu.tensor(rand([n, 3, 3, 8], 7));
      const host = random.keys([5, 6], 3);
      const keys = gpu.tensor(host);
      const evaluated = await gpu.scope(() => block(p, x, { train: false })).data();
      const trained = await gpu.scope(() => block(p, x, { train: true, keys, at: 2 })).data();
      const key = { hi: host.data[4]!, lo: host.data[5]! };
      const kept = random.uniform(key, [n]).data.map((u) => Math.floor(0.5 + u));
      assert(kept.includes(0) && kept.includes(1), "some are kept, some dropped", kept);
      const input = await x.data();
      for (let i = 0; i < n; i++) {
        const sample = (a: Float32Array | Uint32Array) => a.slice(i * 72, (i + 1) * 72);
        equalBits(`sample ${i}`, sample(trained), sample(kept[i] ? evaluated : input));
      }
      const layer = nn.stochDepth({ dropRate: 0.5 });
      const dropped = await gpu.scope(() => layer({}, x, { train: true, keys, at: 2 })).data();
      const masked = Array.from(input, (v, i) => v * kept[Math.floor(i / 72)]!);
      near("the layer alone", dropped, masked, { tolerance: 0, max: 0 });
      equal("not in training", layer({}, x, { train: false }) === x, true);
      for (const t of [x, keys]) t.dispose();
      tree.dispose(p);
    },
  },
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
        tinyNet(gpu, { variant: { ...tiny, depth: tiny.depth.map((d) => d * depth) } }),
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
      equal("buffers made for 24 blocks after 6", created[1]! - created[0]!, 0);
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
