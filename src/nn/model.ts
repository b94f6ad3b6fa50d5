// What the normalizer-free networks have in common: stem, blocks, head, and what a model can tell.
// Not for users: nfnet.ts gives it the reference's arguments.

import type { Params, SpecTree } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";
import * as ops from "../ops/index.ts";
import type { Block, BlockConfig, BlockOptions, BlockParams } from "./block.ts";
import { type ConvShape, type Counted, counted, countFlops, type Flops } from "./flops.ts";
import { keysFor, type Mode, signalMetrics } from "./layers.ts";
import { haikuNames } from "./names.ts";

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

/** `(params, x, { train, keys? })`: images `[n, h, w, 3]` -> logits `[n, numClasses]`. */
export type Model<S, P = Params<S>> = ((params: P, x: Tensor, mode: Mode) => Tensor) & {
  readonly spec: S;
  /** Keys that one training application draws: rows of `keys`. */
  readonly draws: number;
  /** From tree path to Haiku's name, in creation order. */
  readonly names: Readonly<Record<string, string>>;
  readonly blocks: readonly BlockConfig[];
  readonly numClasses: number;
  readonly dropRate: number;
  /** Logits with what is computed on the way. */
  readonly outputs: (params: P, x: Tensor, mode: OutputsMode) => ModelOutputs;
  /** Multiply-adds for one image of h by w, as the reference counts them. */
  readonly countFlops: (h: number, w: number) => Flops;
};

export interface ModelPlan<S, P> {
  readonly name: string;
  /** Haiku's names of the model and of its blocks. */
  readonly module: string;
  readonly blockModule: string;
  readonly spec: S;
  readonly blocks: readonly Block[];
  readonly numClasses: number;
  readonly dropRate: number;
  readonly stem: (p: P, x: Tensor) => Tensor;
  readonly blockParams: (p: P) => readonly BlockParams[];
  /** What comes between the last block and the mean over H and W. */
  readonly last: (p: P, x: Tensor) => Tensor;
  readonly classify: (p: P, pool: Tensor) => Tensor;
  /** For counting: the stem's convolutions, the last one, and the classifier's input channels. */
  readonly stemConvs: readonly ConvShape[];
  readonly lastConv: ConvShape | null;
  readonly poolCh: number;
}

/** A model from its plan. */
export function model<S extends SpecTree, P>(plan: ModelPlan<S, P>): Model<S, P> {
  const { name, blocks, dropRate, numClasses } = plan;
  const dropout = dropRate > 0 ? 1 : 0;
  const draws = blocks.reduce((n, b) => n + b.draws, dropout);

  function compute(p: P, x: Tensor, mode: OutputsMode): ModelOutputs {
    const { train, returnMetrics = false } = mode;
    const keys = train && draws > 0 ? keysFor(name, mode, draws) : undefined;
    let at = mode.at ?? 0;
    const signals: ReturnType<typeof signalMetrics>[] = [];
    const resAvgVar: Tensor[] = [];
    const measure = (out: Tensor) => {
      if (returnMetrics) signals.push(x.gpu.scope(() => signalMetrics(out)));
    };

    let out = x.gpu.scope(() => plan.stem(p, x));
    measure(out);
    const blockParams = plan.blockParams(p);
    for (const [i, block] of blocks.entries()) {
      const before = out;
      const own = { train, keys, at };
      if (returnMetrics) {
        const both = block.outputs(blockParams[i]!, before, own);
        resAvgVar.push(both.resAvgVar);
        out = both.out;
      } else out = block(blockParams[i]!, before, own);
      before.dispose(); // ours, and its memory is the next block's unless a tape reads it
      measure(out);
      at += block.draws;
    }
    const pool = x.gpu.scope(() => ops.mean(plan.last(p, out), { axis: [1, 2] }));
    out.dispose();
    const dropped = keys && dropout ? ops.dropout(pool, keys, { at, rate: dropRate }) : pool;
    const logits = plan.classify(p, dropped);
    if (!returnMetrics) return { logits, pool };
    const avgSqMean = signals.map((s) => s.avgSqMean);
    return {
      logits,
      pool,
      metrics: { avgSqMean, avgVar: signals.map((s) => s.avgVar), resAvgVar },
    };
  }

  const apply = (p: P, x: Tensor, mode: Mode): Tensor =>
    x.gpu.scope(() => compute(p, x, mode).logits);
  const outputs = (p: P, x: Tensor, mode: OutputsMode): ModelOutputs =>
    x.gpu.scope(() => compute(p, x, mode));
  const rename = ([first, second, ...rest]: readonly string[]) => {
    if (first === "stem") return [`stem_${second}`];
    if (first !== "blocks") return [first!, ...(second === undefined ? [] : [second, ...rest])];
    return [second === "0" ? plan.blockModule : `${plan.blockModule}_${second}`, ...rest];
  };
  const parts: Counted[] = [
    ...plan.stemConvs.map(counted),
    ...blocks.map((b) => ({ stride: b.config.stride, count: b.countFlops })),
    ...(plan.lastConv ? [counted(plan.lastConv)] : []),
  ];
  return Object.assign(apply, {
    spec: plan.spec,
    draws,
    names: haikuNames(plan.spec, plan.module, rename),
    blocks: blocks.map((b) => b.config),
    numClasses,
    dropRate,
    outputs,
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
export function stack<T extends Stage>(
  name: string,
  stages: readonly T[],
  { inCh, alpha, stochdepthRate }: { inCh: number; alpha: number; stochdepthRate: number },
  make: (common: Required<Omit<BlockOptions, "activation">>, stage: T, index: number) => Block,
): Block[] {
  const count = stages.reduce((n, s) => n + s.depth, 0);
  if (!(count >= 1) || stages.some((s) => !Number.isInteger(s.depth) || s.depth < 0)) {
    const depths = stages.map((s) => s.depth).join(", ");
    throw new OptionError(`${name}: variant.depth [${depths}] expects whole numbers, one above 0`);
  }
  const blocks: Block[] = [];
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
