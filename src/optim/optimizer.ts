// What makes an Optimizer of update rules: state in arenas like the parameters', the average, the order of an update.
// The rules are the files named after optimizers; which parameter gets which is groups.ts.
import source from "../../shaders/optimizer.wgsl";
import type { Gpu } from "../core/gpu.ts";
import type { Tensor } from "../core/tensor.ts";
import { dispose, leaves, type Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import * as ops from "../ops/index.ts";
import {
  arenasLike,
  checkScalar,
  gradientArenas,
  type Optimizer,
  type Plan,
  planOf,
  scalarTensor,
} from "./arena.ts";
import { type Span, threadsOf } from "./blocks.ts";
import { copyLike, type EmaOptions, type EmaParams, emaParams, needStep } from "./ema.ts";
import { type Group, type Rules, rulesFor } from "./groups.ts";

/** What a rule finds in an arena. `state` holds the buffers that it asked for. */
export interface Arena {
  readonly gpu: Gpu;
  readonly w: Tensor;
  readonly ema: Tensor | null;
  readonly averaging: EmaParams;
  readonly state: Readonly<Record<string, Tensor>>;
  /** For bindings that a kernel names and does not use; different ones, since all are written. */
  readonly unused: readonly [Tensor, Tensor, Tensor];
}
export interface Given {
  readonly g: Tensor;
  readonly lr: Tensor;
  /** The step that the average's warm-up counts with. */
  readonly itr: Tensor;
  /** lr, itr and the number of this step, from 1 on; for rules that count. */
  readonly scalars: Tensor;
}
/** An update of one arena, ready to run. */
export interface Work {
  update(given: Given): void;
  /** Tables and partial sums. */
  readonly own: readonly Tensor[];
}

/** An update rule with its options. */
export interface Method {
  /** Buffers like the parameters, by name, with their initial value. */
  readonly state: Readonly<Record<string, 0 | 1>>;
  /** Knows the number of the step. */
  readonly counts: boolean;
  /**
   * Makes the tables for some parameters of an arena and workgroups of so many threads; may throw. What it returns
   * allocates, and does not.
   */
  readonly prepare: (
    spans: readonly Span[],
    rules: readonly Rules[],
    threads: number,
  ) => (arena: Arena) => Work;
}

/** The parameters that a method updates: their rules by path. */
export interface Share {
  readonly method: Method;
  readonly rules: ReadonlyMap<string, Rules>;
}

const begin = /* @__PURE__ */ defineKernel(source, { entry: "begin" });
const NO_AVERAGE: EmaParams = { keep: 0, take: 1, warmup: 0 };

/** What every optimizer takes. */
export interface CommonOptions {
  /** Adds `weightDecay * w` to the gradient (after clipping, where there is any); null (the default): none. */
  readonly weightDecay?: number | null;
  /** Rules for some of the parameters; the first group that matches one decides. */
  readonly groups?: readonly Group[];
  /** Keeps a moving average of the updated parameters. */
  readonly ema?: EmaOptions;
}

/** An optimizer of one method. `own` are its defaults; one that leaves clipping out refuses it in groups. */
export function single<P, S>(
  op: string,
  params: P & Tree<P>,
  { weightDecay = null, groups = [], ema }: CommonOptions,
  method: Method,
  own: Partial<Pick<Rules, "clipping" | "eps">>,
): Optimizer<P, S> {
  const base: Rules = { weightDecay, clipping: null, eps: 0, lrScale: 1, ...own };
  if (!("clipping" in own))
    for (const { clipping } of groups)
      if (clipping != null)
        throw new OptionError(
          `${op}: a group has clipping=${clipping}; use sgdAgc, or agc() around it, to clip`,
        );
  return optimizer<P, S>(op, params, ema, (paths) => {
    const rules = rulesFor(op, paths, base, groups);
    return [{ method, rules: new Map(paths.map((path, i) => [path, rules[i]!])) }];
  });
}

/** An optimizer whose parameters are shared out between methods. */
export function optimizer<P, S>(
  op: string,
  params: P & Tree<P>,
  emaOptions: EmaOptions | undefined,
  share: (paths: readonly string[]) => readonly Share[],
): Optimizer<P, S> {
  const averaging = emaOptions ? emaParams(op, emaOptions) : NO_AVERAGE;
  const plan = planOf(op, params);
  const { gpu } = plan;
  const shares = share(plan.places.map(({ path }) => path));
  const prepared = plan.arenas.flatMap(({ w, spans }, index) =>
    shares.flatMap(({ method, rules }) => {
      const own = spans.filter(({ path }) => rules.has(path));
      if (own.length === 0) return [];
      const make = method.prepare(
        own,
        own.map(({ path }) => rules.get(path)!),
        threadsOf(gpu.info),
      );
      return [{ index, w, make }];
    }),
  );

  // From here on nothing throws for what was given.
  const buffers = stateOf<P>(plan, params, shares);
  const byArena = new Map([...buffers].map(([name, tree]) => [name, arenasLike(plan, tree)]));
  const step = shares.some(({ method }) => method.counts) ? gpu.keep(gpu.zeros([])) : null;
  const scalars = gpu.keep(gpu.zeros([3]));
  const average = emaOptions ? copyLike<P>(gpu, params) : undefined;
  const averages = average ? arenasLike(plan, average) : null;
  const spare = () => gpu.keep(gpu.zeros([1]));
  const unused = [spare(), spare(), spare()] as const;
  const works = prepared.map(({ index, w, make }) => {
    const state = Object.fromEntries([...byArena].map(([name, all]) => [name, all[index]!]));
    const ema = averages?.[index] ?? null;
    return { index, work: make({ gpu, w, ema, averaging, state, unused }) };
  });

  return {
    params,
    state: { ...shown(buffers, shares, plan), ...(step && { step }) } as S,
    ...(average ? { ema: average } : {}),
    update(grads, { lr, step: itr }) {
      needStep(op, averaging, itr);
      checkScalar(plan, "lr", lr);
      if (itr !== undefined) checkScalar(plan, "step", itr);
      gpu.scope<void>(() => {
        const gradients = gradientArenas(plan, grads);
        const rate = scalarTensor(gpu, lr);
        const at = { lr: rate, itr: averaging.warmup ? scalarTensor(gpu, itr!) : rate };
        if (step) gpu.dispatch(begin, { ...at, step, collected: scalars }, {}, [1]);
        for (const { index, work } of works) work.update({ ...at, g: gradients[index]!, scalars });
      });
    },
    dispose() {
      dispose([[...buffers.values()], average, step, scalars, unused]);
      for (const { work } of works) dispose(work.own);
    },
  };
}

/** The buffers that the methods ask for, each like all parameters. */
function stateOf<P>(plan: Plan, params: P & Tree<P>, shares: readonly Share[]): Map<string, P> {
  const { gpu } = plan;
  const wanted = new Map(shares.flatMap(({ method }) => Object.entries(method.state)));
  const trees = new Map<string, P>();
  for (const [name, initial] of wanted) {
    const tree = gpu.keep<P>(gpu.zerosLike<P>(params) as P & Tree<P>);
    trees.set(name, tree);
    if (initial === 0) continue;
    const flat = arenasLike(plan, tree);
    gpu.scope<void>(() => gpu.assign(flat, flat.map((t) => ops.add(t, initial)) as never));
  }
  return trees;
}

/** Each buffer as users see it: the parameters' tree, or by path where some of the parameters have none. */
function shown<P>(buffers: ReadonlyMap<string, P>, shares: readonly Share[], { places }: Plan) {
  const entries = [...buffers].map(([name, tree]) => {
    const users = shares.filter(({ method }) => name in method.state);
    const has = (path: string) => users.some(({ rules }) => rules.has(path));
    if (places.every(({ path }) => has(path))) return [name, tree];
    const some = leaves(tree).filter(({ path }) => has(path));
    return [name, Object.fromEntries(some.map(({ path, tensor }) => [path, tensor]))];
  });
  return Object.fromEntries(entries);
}
