// Tries the variants that products of matrices can run on: holds each to f64, times what is right, and chooses.
// What there is to try, and tables, are src/ops/tuning.ts. Prints nothing, writes no files.
import { DeviceLostError, type Gpu, OptionError, type Tensor, tuning } from "../src/index.ts";
import { randomData, SUM_BOUND } from "./case.ts";
import { type Stats, statsOf, type Timer, timer } from "./measure.ts";
import { depth, type Element, elements, sizes } from "./product.ts";

/** A variant that was tried for a product. */
export interface Tried {
  readonly variant: string;
  readonly splits: number;
  /** The worst error as a part of what is allowed. */
  readonly error: number;
  /** Why it cannot be chosen: wrong values, or what was thrown. */
  readonly failed?: string;
  /** Seconds on the device; absent where it failed. */
  readonly time?: Stats;
  /** How many times as fast as the default: the median of rounds taken side by side. */
  readonly ratio?: number;
}

/** What was found for one product. */
export interface Tuned {
  readonly product: string;
  readonly batch: number;
  readonly default: Tried;
  /** The default again where nothing is faster by the margin; null where nothing is right. */
  readonly chosen: Tried | null;
  /** All, the default first. */
  readonly tried: readonly Tried[];
}

export interface TuneOptions {
  /** How much faster than the default a variant has to be, as a part (0.03). */
  readonly margin?: number;
  /** Fewer and shorter rounds. */
  readonly quick?: boolean;
  /**
   * What is tried for a product, the default first; `tuning.candidates` if left out. Variants that are not among the
   * engine's own are judged and timed, and never chosen: a table could not name them.
   */
  readonly candidates?: (product: tuning.Product) => readonly tuning.Variant[];
  readonly onProgress?: (done: number, all: number, product: string) => void;
}

const FULL = { target: 0.02, rounds: 9 };
const QUICK = { target: 0.01, rounds: 5 };
/** Times as slow as the fastest so far in a single call, and in the warm-up: not worth its rounds. */
const [SLOW, HOPELESS] = [3, 1.5];
const SAMPLES = 64;

/**
 * Finds the fastest variant for each product (`tuning.trace` says which a function runs). Each candidate's whole result
 * is first compared with that of the plainest core, and samples with f64; only then is it timed, in rounds that take
 * turns with the others'. The default stays unless another is faster by the margin in the median of its rounds, and
 * faster in three of four. Products that keep their default stand in the table, too: later defaults change nothing.
 *
 * @throws OptionError for a margin below 0.
 */
export async function tune(
  gpu: Gpu,
  products: readonly tuning.Product[],
  options: TuneOptions = {},
): Promise<{ readonly table: tuning.Table; readonly products: readonly Tuned[] }> {
  const { margin = 0.03, onProgress } = options;
  if (!(margin >= 0)) throw new OptionError(`tune: margin is ${margin}, expected at least 0`);
  const found: Tuned[] = [];
  const choices: (tuning.Product & { variant: tuning.Variant })[] = [];
  for (const [i, product] of products.entries()) {
    onProgress?.(i, products.length, tuning.productName(product));
    const { tuned, variant } = await tuneOne(gpu, product, margin, options);
    found.push(tuned);
    if (variant) choices.push({ ...product, variant });
  }
  onProgress?.(products.length, products.length, "");
  return { table: tuning.table(gpu, choices), products: found };
}

type Operands = Readonly<Record<"a" | "b", Tensor>>;
interface Entry {
  readonly variant: tuning.Variant;
  readonly error: number;
  readonly failed?: string;
  /** Seconds of a single call, if it is right. */
  readonly once?: number;
  /** Where it is worth its rounds. */
  readonly timer?: Timer;
  readonly rounds: number[];
}

async function tuneOne(gpu: Gpu, product: tuning.Product, margin: number, options: TuneOptions) {
  const { target, rounds } = options.quick ? QUICK : FULL;
  const variants = options.candidates?.(product) ?? tuning.candidates(gpu, product);
  const name = tuning.productName(product);
  const size = sizes(product);
  const data = { a: randomData(`${name} a`, size.a), b: randomData(`${name} b`, size.b) };
  const given = { a: gpu.tensor(data.a), b: gpu.tensor(data.b) };
  const c = gpu.zeros([size.c]);
  try {
    const samples = elements(product, data.a, data.b, SAMPLES);
    const plain = await resultOf(gpu, product, given, tuning.plainest);
    const entries: Entry[] = [];
    let quickest = Number.POSITIVE_INFINITY;
    for (const variant of variants) {
      const run = () => tuning.multiply(gpu, product, { ...given, c }, variant);
      try {
        const actual = await resultOf(gpu, product, given, variant);
        const error = errorOf(product, actual, plain, samples);
        const entry = { variant, error, rounds: [] };
        if (!(error <= 1)) {
          const failed = `wrong values: ${error.toPrecision(3)} times the error allowed`;
          entries.push({ ...entry, failed });
          continue;
        }
        let once = (await gpu.time(run)).seconds;
        for (
          let i = 0;
          i < 2 && once > SLOW * quickest;
          i++ // a call may meet a busy moment
        )
          once = Math.min(once, (await gpu.time(run)).seconds);
        quickest = Math.min(quickest, once);
        const hopeful = entries.length === 0 || once <= SLOW * quickest;
        entries.push(
          hopeful ? { ...entry, once, timer: await timer(gpu, run, target) } : { ...entry, once },
        );
      } catch (error) {
        if (error instanceof DeviceLostError) throw error;
        const [failed] = (error as Error).message.split("\n"); // a KernelError's excerpt is for editors
        entries.push({ variant, error: Number.NaN, rounds: [], failed: failed! });
      }
    }
    const right = entries.filter((e) => e.timer);
    const best = Math.min(...right.map((e) => e.timer!.seconds));
    const racing = right.filter((e) => e === entries[0] || e.timer!.seconds <= HOPELESS * best);
    for (let i = 0; i < rounds; i++) for (const e of racing) e.rounds.push(await e.timer!.round());
    return judge(gpu, product, entries, margin);
  } finally {
    for (const t of [given.a, given.b, c]) t.dispose();
  }
}

/** What a variant makes, over NaN: what it leaves out is seen. */
async function resultOf(
  gpu: Gpu,
  product: tuning.Product,
  given: Operands,
  variant: tuning.Variant,
): Promise<Float32Array> {
  const c = gpu.tensor(new Float32Array(sizes(product).c).fill(Number.NaN));
  try {
    tuning.multiply(gpu, product, { ...given, c }, variant);
    return (await c.data()) as Float32Array;
  } finally {
    c.dispose();
  }
}

/** The worst error of samples against f64 and of all against the plainest core, as a part of what is allowed. */
function errorOf(
  product: tuning.Product,
  actual: Float32Array,
  plain: Float32Array,
  samples: readonly Element[],
): number {
  // A term of numbers in [-1, 1) has a size of 1/4 in the mean; both sides may be off.
  const bound = 2 * SUM_BOUND * Math.max(1, depth(product) / 4);
  let worst = 0;
  for (const { at, value, magnitude } of samples) {
    const part = Math.abs(actual[at]! - value) / (magnitude * SUM_BOUND + 1e-30);
    if (Number.isNaN(part)) return part;
    worst = Math.max(worst, part);
  }
  for (let i = 0; i < plain.length; i++) {
    const part = Math.abs(actual[i]! - plain[i]!) / bound;
    if (Number.isNaN(part)) return part;
    worst = Math.max(worst, part);
  }
  return worst;
}

function judge(gpu: Gpu, product: tuning.Product, entries: readonly Entry[], margin: number) {
  const [first] = entries;
  const ratios = (e: Entry) => e.rounds.map((seconds, i) => first!.rounds[i]! / seconds);
  const tried = entries.map((e): Tried => {
    const { variant, error, failed, rounds } = e;
    const row = { variant: tuning.variantName(variant), splits: variant.splits, error };
    if (failed !== undefined) return { ...row, failed };
    if (rounds.length > 0 && first!.rounds.length > 0)
      return { ...row, time: statsOf(rounds), ratio: statsOf(ratios(e)).median };
    const early = e.timer?.seconds ?? e.once!;
    const base = first!.timer?.seconds;
    const time = rounds.length > 0 ? statsOf(rounds) : { median: early, min: early, spread: 0 };
    return { ...row, time, ...(base !== undefined && { ratio: base / early }) };
  });
  const faster = entries.map((e, i) => {
    if (!e.timer || e.rounds.length === 0 || !tuning.isKnown(gpu, product, e.variant)) return false;
    if (i === 0 || !first!.timer) return true;
    const wins = ratios(e).filter((ratio) => ratio > 1).length;
    return tried[i]!.ratio! >= 1 + margin && wins >= 0.75 * e.rounds.length;
  });
  let chosen = -1;
  tried.forEach(({ time }, i) => {
    if (!faster[i]) return;
    // The default is there to be beaten; of what beats it the fastest counts.
    if (chosen <= 0 || time!.median < tried[chosen]!.time!.median) chosen = i;
  });
  const tuned: Tuned = {
    product: tuning.productName(product),
    batch: product.geometry.batch,
    default: tried[0]!,
    chosen: tried[chosen] ?? null,
    tried,
  };
  return { tuned, variant: entries[chosen]?.variant ?? null };
}
