// For the tests of this folder: a gpu, the committed goldens, and what must come out of a run over some of them.
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { restriction } from "../kernels-test/gpu.ts";
import { type Gpu, openGpu } from "../src/index.ts";
import { type Report, type Row, run, table } from "./index.ts";

export const GOLDEN = fileURLToPath(new URL("golden", import.meta.url));

let opened: Promise<Gpu> | undefined;
let debug = false;

/** Pool memory is full of NaN and guarded in this file's tests. Slower, so not for the long ones. */
export function useDebugMode(): void {
  debug = true;
}

/** One gpu for all tests of a file. */
export function sharedGpu(): Promise<Gpu> {
  opened ??= openGpu({ debug, ...restriction });
  return opened;
}

export async function closeGpu(): Promise<void> {
  await (await opened)?.close();
  opened = undefined;
  debug = false; // the next file shares this module
}

/** Runs the committed cases that match. */
export async function runGolden(filter: RegExp): Promise<Report> {
  return run(await sharedGpu(), { goldens: GOLDEN, filter });
}

export const failures = (report: Report): Row[] => report.rows.filter(({ pass }) => !pass);

/** Every output of every matching case passes; the table is in the message otherwise. */
export async function expectAllPass(filter: RegExp): Promise<void> {
  const gpu = await sharedGpu();
  const before = gpu.memory().live;
  const report = await runGolden(filter);
  expect(failures(report).length, table(report)).toBe(0);
  expect(report.summary.outputs).toBeGreaterThan(0);
  expect(gpu.memory().live, "buffers left behind").toBe(before);
}
