// How the tests of Node open a gpu: software unless NFGRAD_ADAPTER says otherwise, always in debug mode, which fills
// pool memory with NaN and puts guards behind tensors. NFGRAD_LIMITS=default leaves it no more than any adapter has.
import { type Gpu, type OpenOptions, openGpu } from "../src/index.ts";

/** "software" unless the environment says "hardware". */
export const adapter = process.env.NFGRAD_ADAPTER === "hardware" ? "hardware" : "software";

/** What the environment leaves the engine of an adapter: all, or WebGPU's default limits and no optional feature. */
export const restriction: Pick<OpenOptions, "limits" | "features"> = (() => {
  const limits = process.env.NFGRAD_LIMITS || "adapter";
  if (limits === "adapter") return {};
  if (limits === "default") return { limits, features: [] };
  throw new Error(`NFGRAD_LIMITS: expected "adapter" or "default", got "${limits}"`);
})();

export const openTestGpu = (options: OpenOptions = {}): Promise<Gpu> =>
  openGpu({ adapter, debug: true, ...(options.device ? {} : restriction), ...options });

/** One line for the end of a test file. */
export function adapterLine(gpu: Gpu): string {
  const { kind, vendor, architecture } = gpu.info;
  const limits = restriction.limits === "default" ? ", default limits, no optional feature" : "";
  return `adapter: ${kind} ${vendor} ${architecture}${limits}`;
}
