// Opens the adapter that a command works on, and says which one it is.
import type { Gpu } from "../core/gpu.ts";
import { openGpu } from "../core/open.ts";
import type { AdapterInfo } from "../gpu/device.ts";
import type { AdapterKind } from "../platform/types.ts";

/** An adapter in one line. */
export function adapterLine(info: AdapterInfo): string {
  const { description, vendor, architecture, device, kind } = info;
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed";
  return `adapter: ${name} (${kind})`;
}

/** Runs `work` on the adapter asked for, says which it is, and closes it whatever happens. */
export async function withGpu(
  adapter: AdapterKind | undefined,
  work: (gpu: Gpu) => Promise<void>,
  say: (line: string) => void = console.log,
): Promise<void> {
  const gpu = await openGpu(adapter ? { adapter } : {});
  say(adapterLine(gpu.info));
  try {
    await work(gpu);
  } finally {
    await gpu.close();
  }
}
