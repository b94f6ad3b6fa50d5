// What layers and blocks compute, held against the same written with plain ops. Values and gradients
// of the reference itself are parity's matter.
import { nn, ops, type Params, random, type Tensor, tree, vjp } from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, rand } from "../harness.ts";
import { lively } from "../nets.ts";

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
    name: "a block of NFNet-F0's, forward and all gradients, in at most 40 dispatches",
    async run(gpu) {
      const block = nn.nfBlock({ inCh: 512, outCh: 512 });
      const p = gpu.init(block.spec, {});
      const x = gpu.tensor(rand([1, 12, 12, 512], 3));
      const f = gpu.record(() => {
        const inputs = { p, x };
        return vjp((v: typeof inputs) => block(v.p, v.x, { train: true }))(inputs, x);
      });
      for (let i = 0; i < 2; i++) f();
      await gpu.sync();
      const before = gpu.counts().dispatches;
      f();
      await gpu.sync();
      equal("dispatches", gpu.counts().dispatches - before, 35);
      f.dispose();
      x.dispose();
      tree.dispose(p);
    },
  },
];
