// Compiled by tsc, never run: what the public types accept and what they refuse.
import {
  defineOp,
  type Gpu,
  grad,
  type Kernel,
  type Params,
  type Run,
  type Tensor,
  tree,
  valueAndGrad,
  vjp,
} from "../src/index.ts";
import { matmul, scale } from "./core/toy.ts";

declare const gpu: Gpu;
declare const t: Tensor;
declare const k: Kernel;
declare const run: Run;

// ---- ops

export const topK = defineOp({
  name: "topK",
  inputs: ["x"],
  outputs: ["values", "indices"],
  saves: ["indices"],
  shape: ({ x }, { n }: { n: number }) => ({
    values: [x.shape[0]!, n],
    indices: { shape: [x.shape[0]!, n], dtype: "u32" },
  }),
  forward: (r, { x, values, indices }, { n }) => r(k, { x, values, indices }, { n }, [x.size]),
  backward: (r, { indices, dvalues, dx }) => r(k, { indices, dvalues, dx }, {}, [dx.size]),
});
const { values, indices } = topK(t, { n: 3 });
export const outputs: readonly Tensor[] = [values, indices];
// @ts-expect-error attributes are required
topK(t);
// @ts-expect-error a misspelt attribute
topK(t, { m: 3 });
// @ts-expect-error an attribute of another type
topK(t, { n: "3" });
// @ts-expect-error a missing input
matmul(t);
// @ts-expect-error host data is no tensor
matmul(t, Float32Array.of(1));
// @ts-expect-error no such output
void topK(t, { n: 3 }).index;

export const optional = defineOp({
  name: "optional",
  inputs: ["x", "bias?"],
  shape: ({ x }) => x.shape,
  forward: (r, { x, bias, y }, { by = 1 }: { by?: number }) => {
    const given: Tensor | null = bias;
    r(k, { x, bias: given, y }, { by }, [x.size]);
  },
  backward: (r, { dy, dx, dbias }) => {
    const wanted: readonly (Tensor | null)[] = [dx, dbias];
    if (wanted[0]) r(k, { dy, dx }, {}, [dy.size]);
  },
});
optional(t);
optional(t, t);
optional(t, null);
optional(t, t, { by: 2 });
optional(t, { by: 2 });
optional(t, null, {});
// @ts-expect-error a misspelt attribute
optional(t, t, { buy: 2 });

export const list = defineOp({
  name: "list",
  inputs: ["...xs"],
  shape: ({ xs }) => xs[0]!.shape,
  forward: (r, { xs, y }, { axis }: { axis: number }) => r(k, { x: xs[0]!, y }, { axis }, [y.size]),
  backward: (r, { xs, dy, dxs }) => {
    for (const dx of dxs) if (dx) r(k, { x: xs[0]!, dy, dx }, {}, [dx.size]);
  },
});
list([t, t], { axis: 0 });
// @ts-expect-error a list is wanted
list(t, { axis: 0 });

defineOp({
  name: "saves",
  inputs: ["x", "w"],
  saves: ["w"],
  shape: ({ x }) => x.shape,
  forward: (r, { x, w, y }) => r(k, { x, w, y }, {}, [1]),
  // @ts-expect-error x is not saved
  backward: (r, { x, dy, dw }) => r(k, { x, dy, dw }, {}, [1]),
});
defineOp({
  name: "wanted",
  inputs: ["x", "w"],
  shape: ({ x }) => x.shape,
  forward: (r, { x, w, y }) => r(k, { x, w, y }, {}, [1]),
  // @ts-expect-error dx may be null with two inputs
  backward: (r, { dx }) => r(k, { dx }, {}, [dx.size]),
});
defineOp({
  name: "inputs",
  inputs: ["x"],
  // @ts-expect-error no such input
  shape: ({ z }) => z.shape,
  forward: () => {},
});
defineOp({
  name: "passes",
  inputs: ["x"],
  // @ts-expect-error no such input
  passes: ["w"],
  shape: ({ x }) => x.shape,
  forward: () => {},
});
run(k, { x: t, none: null }, { n: 1 }, [1, 2, 3]);
// @ts-expect-error params are numbers
run(k, { x: t }, { n: true }, [1]);
// @ts-expect-error threads are wanted
run(k, { x: t }, { n: 1 });

// ---- gradients

interface Linear {
  readonly w: Tensor;
  readonly b: Tensor;
}
interface Mlp {
  readonly layers: readonly Linear[];
  readonly head: Linear;
}
declare const mlp: Mlp;
const forward = (p: Mlp, x: Tensor): Tensor => {
  let h = x;
  for (const l of p.layers) h = matmul(h, l.w);
  return matmul(h, p.head.w);
};
const { value, grads, aux } = valueAndGrad(forward)(mlp, t);
export const typed: { w: Tensor; value: Tensor; none: undefined } = {
  w: grads.layers[0]!.w,
  value,
  none: aux,
};
const withAux = valueAndGrad(
  (p: Mlp, x: Tensor) => [forward(p, x), { logits: x, all: [x] }] as const,
)(mlp, t);
export const logits: readonly Tensor[] = [withAux.aux.logits, withAux.aux.all[0]];
// @ts-expect-error a misspelt parameter
void grads.haed;
// @ts-expect-error host data for the parameters
valueAndGrad(forward)(Float32Array.of(1), t);
valueAndGrad(forward)(mlp, { data: new Float32Array(4), shape: [2, 2] });
grad(forward)(mlp, Float32Array.of(1)).head.b.size.toFixed();
vjp(forward)(mlp, t, t).grads.head.w.size.toFixed();
// @ts-expect-error a leaf that is no tensor
grad((p: { a: number }) => scale(t, { by: p.a }))({ a: 3 });
// @ts-expect-error the function returns no tensor
grad((_: Mlp) => 3)(mlp);
valueAndGrad((p: Mlp, x: Tensor, rate: number) => scale(forward(p, x), { by: rate }))(mlp, t, 0.5);

// ---- recordings and scopes

const step = gpu.record((b: { x: Tensor; y: Tensor }, lr: Tensor) => ({ loss: matmul(b.x, lr) }));
export const loss: Tensor = step(
  { x: { data: new Float32Array(4), shape: [2, 2] }, y: Uint32Array.of(1) },
  0.1,
).loss;
step.dispose();
// @ts-expect-error a string is no tensor
step({ x: "a", y: t }, 0.1);
// @ts-expect-error an argument is missing
step({ x: t, y: t });
// @ts-expect-error a list of numbers is no host data
step({ x: t, y: t }, [0.1]);
// @ts-expect-error an async function cannot be recorded
gpu.record(async (x: Tensor) => x);
// @ts-expect-error a number arrives as a tensor
gpu.record((x: Tensor, rate: number) => scale(x, { by: rate }));
// @ts-expect-error also inside a tree
gpu.record((b: { x: Tensor; rate: number }) => scale(b.x, { by: b.rate }));
gpu.record((x: Tensor, train: boolean, mode: "a" | "b") =>
  train && mode === "a" ? x : scale(x, { by: 2 }),
)(Float32Array.of(1), true, "b");
// @ts-expect-error an async function has no scope
gpu.scope(async () => t);
// @ts-expect-error a scope returns tensors, not numbers
gpu.scope(() => ({ a: t, n: 3 }));
export const scoped: { a: Tensor; b: readonly [Tensor] } = gpu.scope(() => ({
  a: t,
  b: [t] as const,
}));

// ---- parameters and trees

const lecun = Object.assign(
  (_key: unknown, shape: readonly number[]) => new Float32Array(shape[0]!),
  {
    random: true,
  },
);
const spec = {
  a: { w: { shape: [2], init: lecun } },
  list: [{ shape: [3], init: lecun }],
} as const;
const params = gpu.init(spec, { seed: 1 });
export const leaf: Tensor = params.a.w;
export const inList: Tensor = params.list[0];
// @ts-expect-error no such parameter
void params.a.b;
export const same: Params<typeof spec> = tree.map(params, (x) => scale(x, { by: 2 }));
gpu.assign(params, { a: { w: Float32Array.of(1, 2) }, list: [t] });
// @ts-expect-error a missing value
gpu.assign(params, { a: {}, list: [t] });
// @ts-expect-error a string is no value
gpu.assign(t, "x");
void gpu.read({ p: params }).then(({ p }) => p.a.w.data.length.toFixed());
gpu.zerosLike(params).a.w.dispose();
gpu.keep({ y: t }).y.dispose();
// @ts-expect-error a number is no tensor
gpu.keep({ y: 3 });
// @ts-expect-error a tensor is not written by hand
t.shape = [1];
