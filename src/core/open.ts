// The way in: an adapter, a device, and the handle that everything else hangs on.
import { type DeviceOptions, openDevice } from "../gpu/device.ts";
import { Gpu } from "./gpu.ts";

export interface OpenOptions extends DeviceOptions {
  /**
   * Finds faults: fresh memory is filled with NaN, bytes behind each tensor are kept free, and `memory()` names the
   * line that made each tensor. Slower, same results.
   */
  readonly debug?: boolean;
}

/**
 * Opens an adapter: hardware first, and in Node, where there is none, a software Vulkan driver that is installed.
 *
 * @throws DeviceError, with instructions, if there is no adapter.
 */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  return new Gpu(await openDevice(options), options.debug ?? false);
}
