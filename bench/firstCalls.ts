// What compiling costs: a case's first call beyond its later ones. Whether the driver compiles or finds the result in a
// cache of its own is up to the process that calls this.
import type { Gpu } from "../src/index.ts";
import type { Case } from "./case.ts";
import { families } from "./report.ts";
import { type Compiling, type FirstCall, familyOf } from "./row.ts";
import type { Progress } from "./run.ts";

/** One case of each family: compiling is measured on these. The first that `--quick` has, or the first. */
export function oneOfEach(cases: readonly Case[]): Case[] {
  const groups = families(cases.map((c) => ({ ...c, family: familyOf(c.name) })));
  return [...groups.values()].map((own) => own.find(({ quick }) => quick) ?? own[0]!);
}

/** Seconds until the device has done what `call` asked for. */
async function timed(gpu: Gpu, call: () => unknown): Promise<number> {
  const started = performance.now();
  call();
  await gpu.sync();
  return (performance.now() - started) / 1000;
}

/**
 * Calls each case for the first time in this process, with the host's clock: some drivers compile at the first
 * dispatch, not when a pipeline is made. Cases whose pipelines an earlier one has made have no row.
 */
export async function firstCalls(
  gpu: Gpu,
  cases: readonly Case[],
  onProgress?: (progress: Progress) => void,
): Promise<FirstCall[]> {
  const rows: FirstCall[] = [];
  const total = cases.length;
  for (const [i, c] of cases.entries()) {
    onProgress?.({ done: i, total, part: i / total, name: c.name });
    const prepared = await c.prepare(gpu);
    try {
      await gpu.sync();
      const before = gpu.counts().pipelines;
      const first = await timed(gpu, prepared.run);
      const pipelines = gpu.counts().pipelines - before;
      if (pipelines === 0) continue;
      const later = [await timed(gpu, prepared.run), await timed(gpu, prepared.run)];
      const seconds = Math.max(0, first - Math.min(...later));
      rows.push({ name: c.name, pipelines, seconds });
    } finally {
      prepared.dispose();
    }
  }
  onProgress?.({ done: total, total, part: 1, name: "" });
  return rows;
}

/** First calls with an empty cache beside those with what they left; `kept`: whether anything was left. */
export function coldAndWarm(
  cold: readonly FirstCall[],
  warm: readonly FirstCall[],
  kept: boolean,
): Compiling[] {
  const later = new Map(warm.map(({ name, seconds }) => [name, seconds]));
  return cold.flatMap(({ name, pipelines, seconds }) => {
    const again = later.get(name);
    return again === undefined
      ? []
      : [{ name, pipelines, cold: kept ? seconds : null, warm: again }];
  });
}
