// How the tests of Node open a gpu: software unless NFGRAD_ADAPTER says otherwise, always in debug mode, which fills
// pool memory with NaN and puts guards behind tensors.
import { type Gpu, openGpu } from "../src/index.ts";

/** "software" unless the environment says "hardware". */
export const adapter = process.env.NFGRAD_ADAPTER === "hardware" ? "hardware" : "software";

export const openTestGpu = (options: Parameters<typeof openGpu>[0] = {}): Promise<Gpu> =>
  openGpu({ adapter, debug: true, ...options });

/** One line for the end of a test file. */
export function adapterLine(gpu: Gpu): string {
  const { kind, vendor, architecture } = gpu.info;
  return `adapter: ${kind} ${vendor} ${architecture}`;
}
