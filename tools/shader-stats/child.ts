// What runs in the process of one chip family: compiles kernels one by one, with marks around what the driver prints.
import { readFileSync, writeSync } from "node:fs";
import { requestAdapter } from "../../src/platform/node/index.ts";
import type { Job } from "./compile.ts";

/** Reads jobs from stdin; marks and the driver's words go to stderr. Throws where a kernel does not compile. */
export async function compileAll(): Promise<void> {
  const jobs = JSON.parse(readFileSync(0, "utf8")) as Job[];
  const adapter = await chipAdapter();
  const limits = [
    "maxStorageBuffersPerShaderStage",
    "maxComputeInvocationsPerWorkgroup",
    "maxComputeWorkgroupSizeX",
    "maxComputeWorkgroupStorageSize",
  ] as const;
  const device = await adapter.requestDevice({
    requiredFeatures: [...adapter.features].filter((f) => f === "subgroups" || f === "shader-f16"),
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  });
  mark(`driver ${adapter.info.description}`);
  for (const [i, { label, code, entry, constants }] of jobs.entries()) {
    mark(`kernel ${i}`);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code, label });
    const { messages } = await module.getCompilationInfo();
    const bad = messages.find((m) => m.type === "error");
    if (bad) throw new Error(`${label}:${bad.lineNum}:${bad.linePos} ${bad.message}`);
    const compute = { module, entryPoint: entry, constants };
    await device.createComputePipelineAsync({ layout: "auto", compute });
    const error = await device.popErrorScope();
    if (error) throw new Error(`${label}: ${error.message}`);
  }
}

/** A line of its own in stderr, written at once: the driver writes there, too. */
export function mark(text: string): void {
  writeSync(2, `\n@@${text}\n`);
}

/** RADV as the chip that RADV_FORCE_FAMILY names. */
export async function chipAdapter(): Promise<GPUAdapter> {
  const adapter = await requestAdapter("hardware");
  if (adapter && /radv/i.test(adapter.info.description)) return adapter;
  throw new Error(`Dawn found no RADV but ${adapter?.info.description ?? "no adapter"}`);
}
