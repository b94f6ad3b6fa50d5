// Pipelines made ready before they are needed. Many drivers compile a pipeline at its first dispatch and block for as long;
// so each gets one of no workgroups, which reads and writes nothing.
import type { Device } from "./device.ts";
import type { Images } from "./images.ts";
import type { Pipeline } from "./pipelines.ts";

/** Any binding of a kernel is smaller than this: Params, or one element of a runtime-sized array. */
const BYTES = 4096;
const UNIFORM = 0x40; // GPUBufferUsage
const STORAGE = 0x80;
const INDIRECT = 0x100; // a count of 0 in the call itself is passed over, or warned of

/** Takes `pipelines` through the driver's compiler one after the other. Those that failed are passed over. */
export async function warm(
  device: Device,
  images: Images,
  pipelines: readonly Pipeline[],
  onProgress?: (done: number, all: number) => void,
): Promise<void> {
  const { gpu } = device;
  const buffer = (usage: number) => gpu.createBuffer({ size: BYTES, usage, label: "warm" });
  const none = buffer(INDIRECT);
  const stand: GPUBuffer[] = []; // one a slot: a dispatch may not read and write one buffer
  try {
    for (const [i, pipeline] of pipelines.entries()) {
      await pipeline.compiled;
      const { ready, bindings, layout } = pipeline;
      device.check("compile");
      if (ready) {
        let image = 0;
        device.watch("compile", () => {
          const entries = bindings.map(({ slot, kind }, at) => {
            if (kind === "image")
              return { binding: slot, resource: images.get(image++, 1, "compile").view };
            stand[at] ??= buffer(STORAGE | UNIFORM);
            return { binding: slot, resource: { buffer: stand[at]! } };
          });
          const encoder = gpu.createCommandEncoder();
          const pass = encoder.beginComputePass();
          pass.setPipeline(ready);
          pass.setBindGroup(0, gpu.createBindGroup({ layout, entries }));
          pass.dispatchWorkgroupsIndirect(none, 0);
          pass.end();
          gpu.queue.submit([encoder.finish()]);
        });
        await device.wait(gpu.queue.onSubmittedWorkDone());
      }
      onProgress?.(i + 1, pipelines.length);
    }
  } finally {
    for (const b of [none, ...stand]) b?.destroy();
  }
}
