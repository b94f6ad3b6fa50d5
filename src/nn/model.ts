// What the residual networks have in common: stem, blocks, head, and what a model can tell. Not for
// users: nfnet.ts and its siblings give it the reference's arguments.

import type { Params, SpecTree } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import type { Block, BlockConfig, BlockOptions, BlockOutputs, BlockSpec } from "./block.ts";
import { type ConvShape, type Counted, counted, countFlops, type Flops } from "./flops.ts";
import { keysFor, type Mode, signalMetrics } from "./layers.ts";
import { haikuNames } from "./names.ts";
import { standardized } from "./standardized.ts";

/** The reference's `return_metrics`: scalars, index 0 of the first two after the stem, i + 1 after block i. */
export interface Metrics {
  readonly avgSqMean: readonly Tensor[];
  readonly avgVar: readonly Tensor[];
  /** Of each block's residual branch. */
  readonly resAvgVar: readonly Tensor[];
}

export interface ModelOutputs {
  /** `[n, numClasses]`, no softmax. */
  readonly logits: Tensor;
  /** `[n, channels]`: the mean over H and W that the classifier gets, before dropout. */
  readonly pool: Tensor;
  readonly metrics?: Metrics;
}

export interface OutputsMode extends Mode {
  readonly returnMetrics?: boolean;
}

/** What a model of any family can tell about itself. */
export interface Described<S, C> {
  readonly spec: S;
  /** Keys that one training application draws: rows of `keys`. */
  readonly draws: number;
  /** From tree path to Haiku's name, in creation order. */
  readonly names: Readonly<Record<string, string>>;
  readonly blocks: readonly C[];
  readonly numClasses: number;
  readonly dropRate: number;
}

/** One step of a model in inference: from the step before's result, the first from the images. */
export interface Part {
  /** `stem`, `block 0` and so on, `head`. */
  readonly name: string;
  readonly run: (x: Tensor) => Tensor;
}

/** `(params, x, { train, keys? })`: images `[n, h, w, 3]` -> logits `[n, numClasses]`. */
export type Model<S, C = BlockConfig, P = Params<S>> = ((
  params: P,
  x: Tensor,
  mode: Mode,
) => Tensor) &
  Described<S, C> & {
    /** Logits with what is computed on the way. */
    readonly outputs: (params: P, x: Tensor, mode: OutputsMode) => ModelOutputs;
    /** What the model does without training, step by step: for timing. One after another they give the logits. */
    readonly parts: (params: P) => readonly Part[];
    /** Multiply-adds for one image of h by w, as the reference counts them. */
    readonly countFlops: (h: number, w: number) => Flops;
  };

interface Head {
  readonly name: string;
  readonly draws: number;
  readonly dropRate: number;
}

/** One application of a model: what it computes, with parameters and statistics at hand. */
export interface Pass {
  readonly stem: (x: Tensor) => Tensor;
  readonly blocks: readonly {
    readonly draws: number;
    readonly out: (x: Tensor, mode: Mode) => Tensor;
    readonly outputs: (x: Tensor, mode: Mode) => BlockOutputs;
  }[];
  /** The last block's output, averaged over H and W after what comes between. */
  readonly pool: (x: Tensor) => Tensor;
  readonly classify: (pool: Tensor) => Tensor;
}

/** Keys that a model draws: its blocks' and the dropout's. */
export const drawsOfAll = (blocks: readonly { readonly draws: number }[], dropRate: number) =>
  blocks.reduce((n, b) => n + b.draws, dropRate > 0 ? 1 : 0);

/** Runs the parts one after another. To be called in a scope. */
export function forwardPass(head: Head, pass: Pass, x: Tensor, mode: OutputsMode): ModelOutputs {
  const { name, draws, dropRate } = head;
  const { train, returnMetrics = false } = mode;
  const keys = train && draws > 0 ? keysFor(name, mode, draws) : undefined;
  let at = mode.at ?? 0;
  const signals: ReturnType<typeof signalMetrics>[] = [];
  const resAvgVar: Tensor[] = [];
  const measure = (out: Tensor) => {
    if (returnMetrics) signals.push(x.gpu.scope(() => signalMetrics(out)));
  };

  let out = pass.stem(x);
  measure(out);
  for (const block of pass.blocks) {
    const before = out;
    const own = { train, keys, at };
    if (returnMetrics) {
      const both = block.outputs(before, own);
      resAvgVar.push(both.resAvgVar);
      out = both.out;
    } else out = block.out(before, own);
    before.dispose(); // ours, and its memory is the next block's unless a tape reads it
    measure(out);
    at += block.draws;
  }
  const pool = pass.pool(out);
  out.dispose();
  const kept = keys && dropRate > 0 ? ops.dropout(pool, keys, { at, rate: dropRate }) : pool;
  const logits = pass.classify(kept);
  if (!returnMetrics) return { logits, pool };
  const avgSqMean = signals.map((s) => s.avgSqMean);
  return {
    logits,
    pool,
    metrics: { avgSqMean, avgVar: signals.map((s) => s.avgVar), resAvgVar },
  };
}

/** A part's parameters with standardized weights: themselves, where the whole model was done at once. */
type Ready = <T>(part: T) => T;

export interface ModelPlan<S, P, B, C> {
  readonly name: string;
  /** Haiku's names of the model and of its blocks. */
  readonly module: string;
  readonly blockModule: string;
  readonly spec: S;
  readonly blocks: readonly Block<B, C>[];
  readonly numClasses: number;
  readonly dropRate: number;
  readonly stem: (p: P, x: Tensor, ready: Ready) => Tensor;
  readonly blockParams: (p: P) => readonly Params<B>[];
  /** What comes between the last block and the mean over H and W. */
  readonly last: (p: P, x: Tensor, ready: Ready) => Tensor;
  readonly classify: (p: P, pool: Tensor) => Tensor;
  /** For counting: the stem's convolutions, the last one, and the classifier's input channels. */
  readonly stemConvs: readonly ConvShape[];
  readonly lastConv: ConvShape | null;
  readonly poolCh: number;
}

/** Haiku's names of a model's tree. */
export function modelNames(spec: SpecTree, module: string, blockModule: string) {
  return haikuNames(spec, module, ([first, second, ...rest]) => {
    if (first === "stem") return [`stem_${second}`];
    if (first === undefined) return [];
    if (first !== "blocks") return [first, ...(second === undefined ? [] : [second, ...rest])];
    return [second === "0" ? blockModule : `${blockModule}_${second}`, ...rest];
  });
}

/** A model from its plan. */
export function model<
  S extends SpecTree,
  P,
  B = BlockSpec,
  C extends { stride: number } = BlockConfig,
>(plan: ModelPlan<S, P, B, C>): Model<S, C, P> {
  const { name, blocks, dropRate, numClasses } = plan;
  const draws = drawsOfAll(blocks, dropRate);
  // Backward needs all weights: one dispatch makes them. Without it a block at a time needs less memory.
  const passOf = (given: P, once: boolean): Pass => {
    const p = once ? standardized(given) : given;
    const ready: Ready = once ? (part) => part : standardized;
    const params = plan.blockParams(p);
    return {
      stem: (h) => h.gpu.scope(() => plan.stem(p, h, ready)),
      blocks: blocks.map((block, i) => ({
        draws: block.draws,
        out: (h, own) => block(params[i]!, h, { ...own, standardized: once }),
        outputs: (h, own) => block.outputs(params[i]!, h, { ...own, standardized: once }),
      })),
      pool: (h) => h.gpu.scope(() => ops.mean(plan.last(p, h, ready), { axis: [1, 2] })),
      classify: (h) => plan.classify(p, h),
    };
  };
  const compute = (given: P, x: Tensor, mode: OutputsMode) =>
    forwardPass({ name, draws, dropRate }, passOf(given, mode.train), x, mode);
  const partsOf = (given: P): Part[] => {
    const { stem, blocks, pool, classify } = passOf(given, false);
    const run = (block: Pass["blocks"][number]) => (h: Tensor) => block.out(h, { train: false });
    return [
      { name: "stem", run: stem },
      ...blocks.map((block, i) => ({ name: `block ${i}`, run: run(block) })),
      { name: "head", run: (h) => h.gpu.scope(() => classify(pool(h))) },
    ];
  };
  const apply = (p: P, x: Tensor, mode: Mode): Tensor =>
    x.gpu.scope(() => compute(p, x, mode).logits);
  const outputs = (p: P, x: Tensor, mode: OutputsMode): ModelOutputs =>
    x.gpu.scope(() => compute(p, x, mode));
  const parts: Counted[] = [
    ...plan.stemConvs.map(counted),
    ...blocks.map((b) => ({ stride: b.config.stride, count: b.countFlops })),
    ...(plan.lastConv ? [counted(plan.lastConv)] : []),
  ];
  return Object.assign(apply, {
    spec: plan.spec,
    draws,
    names: modelNames(plan.spec, plan.module, plan.blockModule),
    blocks: blocks.map((b) => b.config),
    numClasses,
    dropRate,
    outputs,
    parts: partsOf,
    countFlops: (h: number, w: number) => countFlops(parts, plan.poolCh * numClasses, h, w),
  });
}

/** A variant by name from a table, or the caller's own. @throws OptionError for an unknown name. */
export function variantOf<V>(
  name: string,
  table: Readonly<Record<string, V>>,
  given: string | V,
): V {
  if (typeof given !== "string") return given;
  if (Object.hasOwn(table, given)) return table[given]!;
  const known = Object.keys(table).join(", ");
  throw new OptionError(`${name}: variant '${given}' is none of ${known}`);
}

type Shared = Required<Omit<BlockOptions, "activation">> & { readonly stochdepthRate: number };

interface Stage {
  readonly width: number;
  readonly depth: number;
  readonly stride: number;
}

/**
 * The blocks of all stages. A block's beta is 1 over the standard deviation expected at its input:
 * read first, then set back to 1 after a stage's first block, then grown by alpha. Stochastic depth
 * grows linearly from 0 at the first block.
 * @throws OptionError for depths that are not whole, or no block at all.
 */
export function stack<T extends Stage, B>(
  name: string,
  stages: readonly T[],
  { inCh, alpha, stochdepthRate }: { inCh: number; alpha: number; stochdepthRate: number },
  make: (common: Shared, stage: T, index: number) => B,
): B[] {
  const count = stages.reduce((n, s) => n + s.depth, 0);
  if (!(count >= 1) || stages.some((s) => !Number.isInteger(s.depth) || s.depth < 0)) {
    const depths = stages.map((s) => s.depth).join(", ");
    throw new OptionError(`${name}: variant.depth [${depths}] expects whole numbers, one above 0`);
  }
  const blocks: B[] = [];
  let ch = inCh;
  let expectedStd = 1;
  for (const stage of stages) {
    for (let i = 0; i < stage.depth; i++) {
      const index = blocks.length;
      const common = {
        inCh: ch,
        outCh: stage.width,
        stride: i === 0 ? stage.stride : 1,
        beta: 1 / expectedStd,
        alpha,
        stochdepthRate: (stochdepthRate * index) / count,
      };
      blocks.push(make(common, stage, index));
      ch = stage.width;
      if (i === 0) expectedStd = 1;
      expectedStd = Math.sqrt(expectedStd ** 2 + alpha ** 2);
    }
  }
  return blocks;
}

/**
 * The 7x7 stem and the four stages of the ResNets with plain convolutions; fewer with fewer depths.
 * @throws OptionError for a width that is not whole, or more stages.
 */
export function plainStages(name: string, depth: readonly number[], width: number) {
  if (!(Number.isInteger(width) && width >= 1))
    throw new OptionError(`${name}: width ${width} expects a whole number above 0`);
  if (depth.length > 4)
    throw new OptionError(`${name}: variant.depth has ${depth.length} stages, expected 4 or fewer`);
  const first = { inCh: 3, outCh: 16 * width, kernel: 7, stride: 2 };
  const stages = depth.map((blocks, i) => {
    return { width: 64 * 2 ** i * width, depth: blocks, stride: i === 0 ? 1 : 2 };
  });
  return { first, stages, numBlocks: depth.reduce((n, d) => n + d, 0) };
}
