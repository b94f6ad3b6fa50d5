// Opens the adapter that a command works on, with its tuning, and says which one it is.
import type { Gpu } from "../core/gpu.ts";
import { openGpu } from "../core/open.ts";
import { FormatError } from "../errors.ts";
import type { AdapterInfo } from "../gpu/device.ts";
import { parse, pin, type Table } from "../ops/tuning.ts";
import { readFile } from "../platform/node/index.ts";
import type { AdapterKind } from "../platform/types.ts";

/** The options of every command that open an adapter. */
export interface AdapterOptions {
  readonly adapter?: AdapterKind | undefined;
  /** A file that `nfgrad tune` wrote. */
  readonly tuning?: string | undefined;
}

/** An adapter in one line. */
export function adapterLine(info: AdapterInfo): string {
  const { description, vendor, architecture, device, kind } = info;
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed";
  return `adapter: ${name} (${kind})`;
}

/** Runs `f` on a tuning file; what it throws names the file. */
function named<R>(file: string, f: () => R): R {
  try {
    return f();
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof SyntaxError)) throw error;
    throw new FormatError(`${file}: ${error.message}`, { cause: error });
  }
}

/** @throws FormatError if the file is no tuning table. */
async function readTable(file: string): Promise<Table> {
  const text = new TextDecoder().decode(await readFile(file));
  return named(file, () => parse(JSON.parse(text)));
}

/**
 * Runs `work` on the adapter asked for, says which it is, and closes it whatever happens.
 * @throws FormatError if the tuning file is damaged (before anything is opened) or is for another adapter.
 */
export async function withGpu(
  { adapter, tuning }: AdapterOptions,
  work: (gpu: Gpu) => Promise<void>,
  say: (line: string) => void = console.log,
): Promise<void> {
  const table = tuning === undefined ? null : await readTable(tuning);
  const gpu = await openGpu(adapter ? { adapter } : {});
  say(adapterLine(gpu.info));
  try {
    if (table) named(tuning!, () => pin(gpu, table));
    await work(gpu);
  } finally {
    await gpu.close();
  }
}
