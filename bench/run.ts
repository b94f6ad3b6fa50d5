// Runs cases: verifies each, then times them, a few at a time and turn by turn. Prints nothing.
import type { AdapterInfo, Gpu } from "../src/index.ts";
import type { Case, Prepared } from "./case.ts";
import { type Stats, statsOf, type Timer, timer } from "./measure.ts";
import { type Peak, roofline } from "./roofline.ts";

export interface Row {
  readonly name: string;
  /** The worst error as a part of what is allowed. */
  readonly error: number;
  /** Why there is no time: wrong values, or what was thrown. */
  readonly failed?: string;
  /** Absent where the case failed. */
  readonly time?: Timed;
  readonly flops: number;
  readonly bytes: number;
}

export interface Timed extends Stats {
  readonly clock: "timestamp" | "host";
  readonly rounds: number;
  /** Calls in each round, and dispatches of one call. */
  readonly repeats: number;
  readonly dispatches: number;
  /** Whether a forward pass was timed beside it and subtracted. */
  readonly difference: boolean;
  /** Of the medians; percent of the peak that was measured in the same run. */
  readonly gflops: number;
  readonly percentOfPeak: number;
  readonly gbs: number;
  readonly percentOfCopy: number;
}

export interface Report {
  readonly adapter: Pick<
    AdapterInfo,
    "kind" | "vendor" | "architecture" | "device" | "description"
  >;
  readonly peak: Peak;
  readonly rows: readonly Row[];
}

export interface RunOptions {
  /** Default: measured first. */
  readonly peak?: Peak;
  readonly quick?: boolean;
  readonly onProgress?: (done: number, all: number, name: string) => void;
}

const TOGETHER = 4; // cases whose rounds take turns, so that a slow moment of the machine meets all of them
const FULL = { target: 0.03, rounds: 11 };
const QUICK = { target: 0.015, rounds: 5 };

interface Entry {
  readonly c: Case;
  readonly prepared: Prepared;
  readonly error: number;
  readonly dispatches: number;
  readonly whole: Timer;
  readonly part: Timer | null;
  readonly wholes: number[];
  readonly parts: number[];
}

/** Runs cases; a wrong or failing one is a row without a time. */
export async function run(
  gpu: Gpu,
  cases: readonly Case[],
  options: RunOptions = {},
): Promise<Row[]> {
  const { quick = false, onProgress } = options;
  const peak = options.peak ?? (await roofline(gpu));
  const { target, rounds } = quick ? QUICK : FULL;
  const rows: Row[] = [];
  for (let at = 0; at < cases.length; at += TOGETHER) {
    const entries: (Entry | Row)[] = [];
    for (const c of cases.slice(at, at + TOGETHER)) {
      onProgress?.(at + entries.length, cases.length, c.name);
      entries.push(await begin(gpu, c, target));
    }
    const live = entries.filter((e): e is Entry => "c" in e);
    try {
      for (let i = 0; i < rounds; i++)
        for (const { whole, part, wholes, parts } of live) {
          wholes.push(await whole.round());
          if (part) parts.push(await part.round());
        }
    } finally {
      for (const { prepared } of live) prepared.dispose();
    }
    rows.push(...entries.map((e) => ("c" in e ? rowOf(e, peak) : e)));
  }
  onProgress?.(cases.length, cases.length, "");
  return rows;
}

async function begin(gpu: Gpu, c: Case, target: number): Promise<Entry | Row> {
  const row = { name: c.name, flops: c.flops, bytes: c.bytes };
  let prepared: Prepared | null = null;
  try {
    prepared = await c.prepare(gpu);
    const error = await prepared.verify();
    if (!(error <= 1)) {
      prepared.dispose();
      return {
        ...row,
        error,
        failed: `wrong values: ${error.toPrecision(3)} times the error allowed`,
      };
    }
    const whole = await timer(gpu, prepared.run, target);
    const part = prepared.without ? await timer(gpu, prepared.without, target) : null;
    const before = gpu.counts().dispatches;
    prepared.run();
    await gpu.sync();
    const dispatches = gpu.counts().dispatches - before;
    return { c, prepared, error, dispatches, whole, part, wholes: [], parts: [] };
  } catch (error) {
    prepared?.dispose();
    return { ...row, error: Number.NaN, failed: (error as Error).message };
  }
}

function rowOf({ c, error, dispatches, whole, part, wholes, parts }: Entry, peak: Peak): Row {
  const { name, flops, bytes } = c;
  const row = { name, error, flops, bytes };
  const stats = differences(wholes, parts);
  if (!(stats.median > 0 && stats.min > 0)) {
    const failed = "no time left after subtracting the forward pass: the machine is too busy";
    return { ...row, failed };
  }
  const gflops = flops / stats.median / 1e9;
  const gbs = bytes / stats.median / 1e9;
  return {
    ...row,
    time: {
      ...stats,
      clock: whole.clock,
      rounds: wholes.length,
      repeats: whole.repeats,
      dispatches,
      difference: part !== null,
      gflops,
      percentOfPeak: (100 * gflops) / peak.gflops,
      gbs,
      percentOfCopy: (100 * gbs) / peak.copyGBs,
    },
  };
}

/** What is left of whole calls without a part of them. The least difference of two rounds would flatter. */
function differences(wholes: readonly number[], parts: readonly number[]): Stats {
  if (parts.length === 0) return statsOf(wholes);
  const paired = statsOf(wholes.map((whole, i) => whole - parts[i]!));
  return { ...paired, min: Math.min(...wholes) - Math.min(...parts) };
}
