// Options for another gpu like one that a case was given. Runs in pages, too: gpu.ts, which reads the environment, does not.
import type { Gpu, OpenOptions } from "../src/index.ts";

const USED = ["subgroups", "timestamp-query", "shader-f16"] as const;
/** `maxComputeWorkgroupStorageSize` of WebGPU's default limits; all software adapters and GPUs have more. */
const DEFAULT_BYTES = 16_384;

/** The same adapter with the same features, and the default limits where that one was opened with no more. */
export function alike({ info }: Gpu): OpenOptions {
  return {
    adapter: info.kind,
    features: USED.filter((name) => info.features.has(name)),
    ...(info.limits.maxComputeWorkgroupStorageSize === DEFAULT_BYTES && { limits: "default" }),
  };
}
