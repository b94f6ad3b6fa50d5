// Runs cases: verifies each, then times them, a few at a time and turn by turn, between rounds of the peak's own loops.
// Prints nothing.
import type { Gpu } from "../src/index.ts";
import type { Case, Prepared } from "./case.ts";
import { count, kernelsOf } from "./kernels.ts";
import { statsOf, type Timer, timer } from "./measure.ts";
import { openPeak, type Peak } from "./roofline.ts";
import { adapterOf, familyOf, type Method, type Report, type Row, rates } from "./row.ts";

export interface Progress {
  /** Cases that are done, and that are to be run. */
  readonly done: number;
  readonly total: number;
  /** Of the whole work, from 0 to 1: a case is half done when it is verified and warmed up. */
  readonly part: number;
  /** The case that is being worked on; empty at the end. */
  readonly name: string;
}

export interface RunOptions {
  /** Default: measured before, between and after the cases; the best counts. */
  readonly peak?: Peak;
  /** Fewer and shorter rounds. */
  readonly quick?: boolean;
  /** Times the plain composition beside an op, where the case has it. */
  readonly against?: "reference";
  readonly onProgress?: (progress: Progress) => void;
  /** Rows as they are done, with percents of the peak so far; the result's may be smaller. */
  readonly onRows?: (rows: readonly Row[]) => void;
  /** Stops the run: the result has the rows that were done, and no others. */
  readonly signal?: AbortSignal;
}

const TOGETHER = 4; // cases whose rounds take turns, so that a slow moment of the machine meets all of them
const TOGETHER_BYTES = 2 ** 30; // past this much memory no further case joins
const FULL = { target: 0.03, rounds: 11, seconds: 12 };
const QUICK = { target: 0.015, rounds: 5, seconds: 2 };
const LEAST_ROUNDS = 3; // of a call so long that it would take more than those seconds
const PEAK_EVERY = 4; // rounds

interface Entry {
  readonly c: Case;
  readonly prepared: Prepared;
  /** What is known of the row before it is timed. */
  readonly row: Row;
  readonly whole: Timer;
  readonly plain: { readonly timer: Timer; readonly dispatches: number } | null;
  readonly rounds: number;
  /** Seconds of each round. */
  readonly wholes: number[];
  readonly plains: number[];
}

const isEntry = (e: Entry | Row): e is Entry => "prepared" in e;

/**
 * Runs cases and gives a row for each; a wrong or failing one is a row without a time.
 * Percents are of the peak that was reached in the same run.
 */
export async function run(
  gpu: Gpu,
  cases: readonly Case[],
  options: RunOptions = {},
): Promise<Row[]> {
  return [...(await report(gpu, cases, options)).rows];
}

/** Like `run`, with all that a reader of the rows wants to know beside them. `versions` are the caller's. */
export async function report(
  gpu: Gpu,
  cases: readonly Case[],
  options: RunOptions & { readonly versions?: Readonly<Record<string, string>> } = {},
): Promise<Report> {
  const { quick = false, onProgress, onRows, signal, versions = {} } = options;
  const { target, rounds, seconds } = quick ? QUICK : FULL;
  const date = new Date().toISOString();
  const started = performance.now();
  const meter = options.peak ? null : await openPeak(gpu);
  const found: (Entry | Row)[] = [];
  const total = cases.length;
  const tell = (begun: number, timed: number, name: string) => {
    const part = total === 0 ? 1 : (found.length + begun / 2 + timed / 2) / total;
    onProgress?.({ done: found.length, total, part, name });
  };
  try {
    while (found.length < cases.length && !signal?.aborted) {
      const group: (Entry | Row)[] = [];
      try {
        let bytes = 0;
        while (group.length < TOGETHER && bytes < TOGETHER_BYTES) {
          const c = cases[found.length + group.length];
          if (!c || signal?.aborted) break;
          tell(group.length, 0, c.name);
          const e = await begin(gpu, c, options, { target, rounds, seconds });
          group.push(e);
          if (isEntry(e)) bytes += e.row.deviceBytes;
        }
        const live = group.filter(isEntry);
        for (let i = 0; live.some((e) => i < e.rounds) && !signal?.aborted; i++) {
          tell(group.length, (group.length * i) / rounds, live[i % live.length]!.c.name);
          if (i % PEAK_EVERY === 0) await meter?.again();
          for (const e of live) if (i < e.rounds) await round(e);
        }
      } finally {
        for (const e of group) if (isEntry(e)) e.prepared.dispose();
      }
      if (signal?.aborted) break; // a group that was not timed to its end tells nothing
      found.push(...group);
      onRows?.(group.map((e) => (isEntry(e) ? rowOf(e, options.peak ?? meter!.peak) : e)));
    }
    for (let i = 0; i < LEAST_ROUNDS && !signal?.aborted; i++) await meter?.all();
  } finally {
    meter?.dispose();
  }
  tell(0, 0, "");
  const peak = options.peak ?? meter!.peak;
  const method: Method = {
    quick,
    rounds,
    target,
    together: TOGETHER,
    seconds: (performance.now() - started) / 1000,
  };
  const { kind, vendor, architecture, device, description } = gpu.info;
  return {
    format: 1,
    date,
    versions,
    adapter: { kind, vendor, architecture, device, description },
    peak,
    method,
    rows: found.map((e) => (isEntry(e) ? rowOf(e, peak) : e)),
  };
}

async function round({ whole, plain, wholes, plains }: Entry): Promise<void> {
  wholes.push(await whole.round());
  if (plain) plains.push(await plain.timer.round());
}

/** Prepares, verifies and warms up. */
async function begin(
  gpu: Gpu,
  c: Case,
  { against }: RunOptions,
  { target, rounds, seconds }: { target: number; rounds: number; seconds: number },
): Promise<Entry | Row> {
  const { name, flops, bytes } = c;
  const before = gpu.memory().liveBytes;
  let row: Row = {
    ...{ name, family: familyOf(name), ...adapterOf(gpu.info), flops, bytes },
    ...{ error: null, kernels: [], deviceBytes: 0 },
  };
  let prepared: Prepared | null = null;
  try {
    prepared = await c.prepare(gpu);
    const { run: call, reference } = prepared;
    const error = await prepared.verify();
    row = { ...row, error: Number.isFinite(error) ? error : null };
    if (!(error <= 1)) {
      prepared.dispose();
      return { ...row, failed: `wrong values: ${error.toPrecision(3)} times the error allowed` };
    }
    gpu.resetPeak(); // what a verification used is not the case's
    const whole = await timer(gpu, call, target);
    row = {
      ...row,
      kernels: kernelsOf(gpu, call),
      deviceBytes: gpu.memory().peakBytes - before,
    };
    const plain = against && reference ? await timer(gpu, reference, target) : null;
    const each = whole.seconds * whole.repeats;
    return {
      ...{ c, prepared, row, whole },
      plain: plain && { timer: plain, dispatches: count(kernelsOf(gpu, reference!)) },
      rounds: Math.min(rounds, Math.max(LEAST_ROUNDS, Math.floor(seconds / each))),
      ...{ wholes: [], plains: [] },
    };
  } catch (error) {
    prepared?.dispose();
    return { ...row, failed: (error as Error).message };
  }
}

function rowOf({ row, whole, plain, wholes, plains }: Entry, peak: Peak): Row {
  const stats = statsOf(wholes);
  const other = plain && statsOf(plains);
  if (![stats, ...(other ? [other] : [])].every(({ min }) => min > 0))
    return { ...row, failed: `the clock gave times that are not above 0: ${stats.min} s at least` };
  return {
    ...row,
    time: {
      ...stats,
      clock: whole.clock,
      rounds: wholes.length,
      repeats: whole.repeats,
      dispatches: count(row.kernels),
      ...rates(row, stats.median, peak),
    },
    ...(other && {
      reference: {
        ...other,
        dispatches: plain.dispatches,
        ratio: other.median / stats.median,
      },
    }),
  };
}
