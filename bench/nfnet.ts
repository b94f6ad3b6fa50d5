// NFNets in f64, on the tape of oracle.ts: written from the paper's definition, beside src/nn and not from it. And random
// parameters with which everything counts: at the initial values a skip gain of 0 hides a whole branch.
import { type Gpu, type Host, type nn, type Shape, type Tensor, tree } from "../src/index.ts";
import { randomData, sizeOf } from "./case.ts";
import type { F64Tape, Value } from "./oracle.ts";

/** Fills a tree of parameters by their names: gains near 1, skip gains 0.5. */
export function fill(gpu: Gpu, name: string, params: object): void {
  for (const { path, tensor } of tree.leaves(params)) {
    const kind = path.slice(path.lastIndexOf("/") + 1);
    const fanIn = tensor.size / (tensor.shape.at(-1) ?? 1);
    const range = kind === "w" ? Math.sqrt(3 / fanIn) : 0.1; // of variance 1 / fan-in
    const data = randomData(`${name} ${path}`, tensor.size, range);
    const middle = kind === "gain" ? 1 : kind === "skipGain" ? 0.5 : 0;
    if (middle !== 0) for (let i = 0; i < data.length; i++) data[i]! += middle;
    gpu.assign(tensor, data);
  }
}

/** The number of parameters of a specification. */
export function countOf(spec: object): number {
  if ("shape" in spec) return sizeOf(spec.shape as Shape);
  return Object.values(spec).reduce((n: number, part: object) => n + countOf(part), 0);
}

/** A tree's values by path. */
export function readAll(gpu: Gpu, params: object): Promise<Record<string, Host>> {
  const found = tree.leaves(params).map(({ path, tensor }) => [path, tensor] as const);
  return gpu.read<Record<string, Tensor>>(Object.fromEntries(found));
}

/** The parameter of that path, to be asked for right before it is used, so that gradients come one by one. */
export type Leaf = (path: string) => Value;
/** What stochastic depth or dropout multiplies with: of an image, of an element. */
export type Mask = (i: number) => number;

const GELU = 1.7015043497085571; // keeps the variance of a unit normal
const within =
  (leaf: Leaf, folder: string): Leaf =>
  (path) =>
    leaf(`${folder}/${path}`);

const wsConv = (
  t: F64Tape,
  leaf: Leaf,
  x: Value,
  attrs: { stride?: number; groups?: number } = {},
) => t.conv2d(x, t.standardize(leaf("w"), leaf("gain")), leaf("bias"), attrs);

/** The paper's residual block with squeeze-and-excite; `kept` is stochastic depth. */
export function blockF64(
  t: F64Tape,
  config: nn.BlockConfig,
  leaf: Leaf,
  x: Value,
  kept: Mask | null = null,
): Value {
  const { beta, alpha, stride, groups } = config;
  const act = (h: Value) => t.gelu(h, GELU);
  const start = t.gelu(x, GELU * beta);
  const shortcut = config.useProjection
    ? wsConv(t, within(leaf, "convShortcut"), stride > 1 ? t.avgPool(start) : start)
    : x;
  let h = act(wsConv(t, within(leaf, "conv0"), start));
  h = act(wsConv(t, within(leaf, "conv1"), h, { stride, groups }));
  if (config.useTwoConvs) h = act(wsConv(t, within(leaf, "conv1b"), h, { groups }));
  h = wsConv(t, within(leaf, "conv2"), h);
  h = exciteF64(t, within(leaf, "squeezeExcite"), h);
  const image = h.data.length / h.shape[0]!;
  if (kept) h = t.mask(h, (i) => kept(Math.floor(i / image)));
  return t.residual(h, shortcut, leaf("skipGain"), alpha);
}

/** Twice x, each channel by the sigmoid of two linear layers of the channels' means. */
export function exciteF64(t: F64Tape, leaf: Leaf, x: Value): Value {
  const linear = (name: string, h: Value) => t.linear(h, leaf(`${name}/w`), leaf(`${name}/b`));
  return t.excite(x, linear("linear1", t.relu(linear("linear", t.mean(x)))));
}

/** Logits of a whole NFNet. */
export function nfnetF64(
  t: F64Tape,
  model: nn.NFNet,
  leaf: Leaf,
  x: Value,
  masks: { readonly branch: (block: number) => Mask | null; readonly dropout: Mask | null },
): Value {
  const act = (h: Value) => t.gelu(h, GELU);
  const stem = (name: string, h: Value, stride: number) =>
    wsConv(t, within(leaf, `stem/${name}`), h, { stride });
  let h = act(stem("conv1", act(stem("conv0", x, 2)), 1));
  h = stem("conv3", act(stem("conv2", h, 1)), 2);
  model.blocks.forEach((config, i) => {
    h = blockF64(t, config, within(leaf, `blocks/${i}`), h, masks.branch(i));
  });
  let pool = t.mean(act(wsConv(t, within(leaf, "finalConv"), h)));
  if (masks.dropout) pool = t.mask(pool, masks.dropout);
  return t.linear(pool, leaf("linear/w"), leaf("linear/b"));
}
