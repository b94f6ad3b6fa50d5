// Weight standardization beyond base.py: sequences, transposed convolutions, and plain layers that are turned into
// weight-standardized ones.
import {
  type Gpu,
  nn,
  OptionError,
  ops,
  optim,
  ShapeError,
  type Tensor,
  tree,
  valueAndGrad,
} from "../../src/index.ts";
import { assert, type Case, equal, equalBits, rand, throws } from "../harness.ts";

/** A plain network: two convolutions, one with a bias, and a linear layer. */
const plain = nn.layer(
  {
    stem: { w: nn.param([3, 3, 4, 8], nn.init.lecunNormal), b: nn.param([8], nn.init.zeros) },
    blocks: [{ conv: { w: nn.param([1, 1, 8, 8], nn.init.lecunNormal) } }],
    linear: { w: nn.param([8, 5], nn.init.lecunNormal), b: nn.param([5], nn.init.zeros) },
  },
  (p, x: Tensor) => {
    const h = ops.relu(ops.conv2d(x, p.stem.w, p.stem.b));
    const pool = ops.mean(ops.conv2d(h, p.blocks[0].conv.w), { axis: [1, 2] });
    return ops.linear(pool, p.linear.w, p.linear.b);
  },
);
const drop = (...trees: readonly unknown[]) => {
  for (const t of trees) tree.dispose(t);
};
/** Gains other than 1, so that they count. */
function lively(gpu: Gpu, gain: Tensor | undefined, seed: number): void {
  if (!gain) throw new Error("no gain");
  gpu.assign({ gain }, { gain: rand(gain.shape, seed) });
}

export const cases: readonly Case[] = [
  {
    name: "wsConv1d is wsConv2d of one row, strides, groups, padding and dilation included",
    async run(gpu) {
      for (const options of [
        {},
        { stride: 2, groups: 2 },
        { dilation: 2, padding: [4, 0] },
      ] as const) {
        const common: Omit<nn.Conv1dOptions, "kernelShape"> = { inCh: 4, outCh: 6, ...options };
        const conv = nn.wsConv1d({ ...common, kernelShape: 3 });
        const params = gpu.init(conv.spec, { seed: 2 });
        lively(gpu, params.gain, 5);
        const x = gpu.tensor(rand([2, 9, 4], 3));
        const y = gpu.scope(() => conv(params, x));
        const { padding = "SAME", stride = 1, dilation = 1, groups = 1 } = common;
        const want = gpu.scope(() =>
          ops.conv2d(
            ops.reshape(x, { shape: [2, 1, 9, 4] }),
            ops.standardize(params.w, params.gain),
            params.bias,
            {
              stride: [1, stride],
              dilation: [1, dilation],
              padding: typeof padding === "string" ? padding : [[0, 0], padding],
              groups,
            },
          ),
        );
        equal("shape", y.shape, [2, want.shape[2]!, 6]);
        equalBits("values", await y.data(), await want.data());
        drop(params, [x, y, want]);
      }
    },
  },
  {
    name: "wsConvTranspose2d doubles, trains, and AGC takes its outputs for units",
    async run(gpu) {
      const conv = nn.wsConvTranspose2d({ inCh: 4, outCh: 6, kernelShape: [3, 5], stride: 2 });
      const params = gpu.init(conv.spec, { seed: 2 });
      const x = gpu.tensor(rand([1, 3, 4, 4], 3));
      const lossAndGrad = valueAndGrad((p: typeof params) => ops.mean(ops.square(conv(p, x))));
      const opt = optim.sgdAgc(params, { clipping: 0.05 });
      const step = gpu.record(() => {
        const { value, grads } = lossAndGrad(params);
        opt.update(grads, { lr: 0.5 });
        return value;
      });
      const y = gpu.scope(() => conv(params, x));
      equal("shape", y.shape, [1, 6, 8, 6]);
      equal("weight", params.w.shape, [3, 5, 4, 6]);
      const first = await step().item();
      for (let i = 0; i < 20; i++) step();
      const last = await step().item();
      assert(last < 0.9 * first, `the loss falls: ${first} to ${last}`);
      opt.dispose();
      step.dispose();
      drop(params, [x, y]);
    },
  },
  {
    name: "weightStandardized: each convolution's weight is standardized, nothing else changes",
    async run(gpu) {
      const ws = nn.weightStandardized(plain, { eps: 1e-3 });
      equal("order", Object.keys(ws.spec.stem), ["w", "gain", "b"]);
      const params = gpu.init(ws.spec, { seed: 4 });
      equal(
        "paths",
        tree.leaves(params).map(({ path }) => path),
        [
          "stem/w",
          "stem/gain",
          "stem/b",
          "blocks/0/conv/w",
          "blocks/0/conv/gain",
          "linear/w",
          "linear/b",
        ],
      );
      lively(gpu, params.stem.gain, 6);
      const x = gpu.tensor(rand([2, 5, 4, 4], 3));
      const before = gpu.memory().live;
      const y = gpu.scope(() => ws(params, x));
      const want = gpu.scope(() => {
        const { stem, blocks, linear } = params;
        const std = (p: { w: Tensor; gain?: Tensor }) =>
          ops.standardize(p.w, p.gain, { eps: 1e-3 });
        const conv = { w: std(blocks[0].conv) };
        return plain({ stem: { w: std(stem), b: stem.b }, blocks: [{ conv }], linear }, x);
      });
      equalBits("values", await y.data(), await want.data());
      drop([y, want]);
      equal("nothing left", gpu.memory().live, before);

      const { grads } = gpu.scope(() =>
        valueAndGrad((p: typeof params) => ops.mean(ops.square(ws(p, x))))(params),
      );
      const norm = gpu.scope(() => ops.sum(ops.square(grads.stem.gain!)));
      assert((await norm.item()) > 0, "the gains have gradients");
      drop(grads, params, [norm, x]);
    },
  },
  {
    name: "weightStandardized: some of the convolutions, a model with names, and other members",
    async run(gpu) {
      const ws = nn.weightStandardized(plain, { only: /^blocks/ });
      const params = gpu.init(ws.spec, { seed: 4 });
      equal("stem", Object.keys(params.stem), ["w", "b"]);
      const named = Object.assign(plain.bind(null), {
        spec: plain.spec,
        names: { "stem/w": "Net/~/stem/w", "stem/b": "Net/~/stem/b" },
      });
      const model = nn.weightStandardized(named, { only: (path) => path === "stem/w" });
      equal("names", model.names, {
        "stem/w": "Net/~/stem/w",
        "stem/gain": "Net/~/stem/gain",
        "stem/b": "Net/~/stem/b",
      });
      const w = gpu.scope(() => ws.plain(params).blocks[0].conv.w);
      const data = await w.data();
      const sums = Array.from({ length: 8 }, (_, o) =>
        Array.from({ length: 8 }, (_, i) => data[i * 8 + o]!).reduce((a, b) => a + b, 0),
      );
      assert(
        sums.every((sum) => Math.abs(sum) < 1e-6),
        `plain weights are centred: ${sums}`,
      );
      drop(params, [w]);
    },
  },
  {
    name: "weightStandardized and wsConv refuse what they cannot take",
    async run(gpu) {
      const refuse = (
        message: RegExp,
        make: () => unknown,
        kind: typeof OptionError | typeof ShapeError,
      ) => throws(`${message}`, make, kind, message);
      await refuse(
        /no weight of four axes/,
        () => nn.weightStandardized(plain, { only: /none/ }),
        OptionError,
      );
      const linear = nn.linear({ inCh: 2, outCh: 2 });
      await refuse(/no weight of four axes/, () => nn.weightStandardized(linear), OptionError);
      const once = nn.wsConv2d({ inCh: 2, outCh: 2, kernelShape: 1 });
      await refuse(/'w' has a gain beside it/, () => nn.weightStandardized(once), OptionError);
      const bad = { inCh: 3, outCh: 4, kernelShape: 3, groups: 2 };
      await refuse(/wsConv1d: 2 groups do not divide/, () => nn.wsConv1d(bad), ShapeError);
      await refuse(/wsConvTranspose2d: 2 groups/, () => nn.wsConvTranspose2d(bad), ShapeError);
      const conv = nn.wsConv1d({ inCh: 4, outCh: 4, kernelShape: 3 });
      const params = gpu.init(conv.spec, { seed: 0 });
      const x = gpu.zeros([1, 2, 3, 4]);
      await refuse(/wsConv1d: x \[1,2,3,4\] has rank 4/, () => conv(params, x), ShapeError);
      drop(params, [x]);
    },
  },
];
