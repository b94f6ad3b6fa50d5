// SGD with adaptive gradient clipping, weight decay, Nesterov momentum and the average of the parameters, for layers like
// NFNet-F0's: its own 71 M parameters, and 4 M of a quarter of its width.
import { nn, optim, type Shape, type Tensor, tree } from "../src/index.ts";
import { type Case, randomData, type Sum, sumOf } from "./case.ts";
import { countOf, fill } from "./nfnet.ts";

/** The NFNet experiments' values. */
export const rules = {
  momentum: 0.9,
  nesterov: true,
  weightDecay: 2e-5,
  clipping: 0.01,
  eps: 1e-3,
  ema: { decay: 0.99999 },
} as const;

/** The paper's clipping of one parameter in f64; `clipping` null: none. A unit is an output channel, a column, or all. */
export function clippedF64(
  shape: Shape,
  w: ArrayLike<number>,
  g: ArrayLike<number>,
  clipping: number | null,
): Float64Array {
  const out = Float64Array.from(g);
  if (clipping === null) return out;
  const units = shape.filter((d) => d > 1).length < 2 ? 1 : shape.at(-1)!;
  const squares = [new Float64Array(units), new Float64Array(units)] as const;
  for (let i = 0; i < out.length; i++) {
    squares[0][i % units]! += w[i]! ** 2;
    squares[1][i % units]! += out[i]! ** 2;
  }
  const factors = squares[1].map((square, u) => {
    const most = clipping * Math.max(Math.sqrt(squares[0][u]!), rules.eps);
    return Math.min(1, most / Math.max(Math.sqrt(square), 1e-6));
  });
  for (let i = 0; i < out.length; i++) out[i]! *= factors[i % units]!;
  return out;
}

/** The rules of the NFNet experiments for one parameter: no decay of gains and biases, the classifier is not clipped. */
export const rulesOf = (path: string, clipping: number | null) => ({
  decay: /(^|\/)w$/.test(path) ? rules.weightDecay : 0,
  clipping: path === "linear/w" ? null : clipping,
});

/**
 * The worst error of updated values as a part of what is allowed: a few roundings of what they were, and of what was
 * added to them.
 */
export function worstUpdate(
  actual: ArrayLike<number>,
  before: ArrayLike<number>,
  change: (i: number) => Sum,
): number {
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const { value, magnitude } = change(i);
    const allowed = 2 ** -22 * (Math.abs(before[i]!) + 4 * magnitude) + 1e-30;
    const part = Math.abs(actual[i]! - before[i]! - value) / allowed;
    if (!(part <= worst)) worst = part; // also a NaN
  }
  return worst;
}

const times = ({ value, magnitude }: Sum, factor: number, plus: number): Sum => ({
  value: value * factor + plus,
  magnitude: magnitude * Math.abs(factor) + Math.abs(plus),
});

const F0 = nn.nfnet({ variant: "F0", numClasses: 1000 });
const quarter = nn.nfnet({
  variant: {
    ...{ width: [64, 128, 384, 384], depth: [1, 2, 6, 3], groupWidth: [32, 32, 32, 32] },
    ...{ trainImsize: 192, testImsize: 256, dropRate: 0.2 },
  },
  numClasses: 10,
});

/** One parameter of each kind, among them the longest and the shortest. */
const looked = [
  "stem/conv0/w",
  "blocks/0/skipGain",
  "blocks/3/conv1/w",
  "blocks/3/conv1/gain",
  "blocks/5/squeezeExcite/linear/w",
  "blocks/11/conv2/bias",
  "finalConv/w",
  "linear/w",
  "linear/b",
];

function sgdAgc(model: nn.NFNet, quick: boolean): Case {
  const parameters = countOf(model.spec);
  const name = `optimizer sgdAgc + ema ${Math.round(parameters / 1e6)}M`;
  return {
    name,
    flops: 16 * parameters, // two square sums 4, clipping 1, decay 2, momentum 2, Nesterov 2, step 2, average 3
    bytes: 36 * parameters, // w, m and ema read and written, g read, w and g read once more for the norms
    quick,
    prepare(gpu) {
      const params = gpu.init(model.spec, { zeros: true });
      const grads = gpu.zerosLike(params);
      fill(gpu, name, params);
      for (const arena of tree.arenas(grads))
        gpu.assign(arena, randomData(`${name} g`, arena.size, 0.01));
      const opt = optim.sgdAgc(params, { ...rules, groups: optim.nfnetGroups(model) });
      const step = gpu.record(
        (lr: Tensor, itr: Tensor) => {
          opt.update(grads, { lr, step: itr });
        },
        { name },
      );
      const [lr, itr] = [0.01, 30];
      const chosen = <T>(t: T & tree.Tree<T>) =>
        Object.fromEntries(
          tree
            .leaves(t)
            .flatMap(({ path, tensor }) => (looked.includes(path) ? [[path, tensor]] : [])),
        ) as Record<string, Tensor>;
      return {
        run: () => step(lr, itr),
        async verify() {
          const state = {
            w: chosen(params),
            m: chosen(opt.state.momentum!),
            ema: chosen(opt.ema!),
          };
          const g = await gpu.read(chosen(grads));
          const before = await gpu.read(state);
          step(lr, itr);
          const after = await gpu.read(state);
          const keep = Math.min(rules.ema.decay, (1 + itr) / (10 + itr));
          const errors = looked.flatMap((path) => {
            const { data: w, shape } = before.w[path]!;
            const [m, ema] = [before.m[path]!.data, before.ema[path]!.data];
            const { decay, clipping } = rulesOf(path, rules.clipping);
            const clipped = clippedF64(shape, w, g[path]!.data, clipping);
            const d = (i: number) => sumOf(2, (t) => (t ? clipped[i]! : decay * w[i]!));
            const moved = (i: number) => times(d(i), 1, rules.momentum * m[i]!);
            const by = (i: number) => times(moved(i), -lr * rules.momentum, -lr * d(i).value);
            return [
              worstUpdate(after.m[path]!.data, m, (i) => times(moved(i), 1, -m[i]!)),
              worstUpdate(after.w[path]!.data, w, by),
              worstUpdate(after.ema[path]!.data, ema, (i) => {
                const next = times(by(i), 1, w[i]!);
                return times(times(next, 1, -ema[i]!), 1 - keep, 0);
              }),
            ];
          });
          return Math.max(...errors);
        },
        dispose() {
          step.dispose();
          opt.dispose();
          tree.dispose([params, grads]);
        },
      };
    },
  };
}

export const cases = (): Case[] => [sgdAgc(quarter, true), sgdAgc(F0, false)];
