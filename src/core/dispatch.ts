// From a kernel and tensors to a command: what an op's rules get as `run`.
import { DeviceError, KernelError, LimitError, RecordError, TapeError } from "../errors.ts";
import type { AdapterInfo } from "../gpu/device.ts";
import type { Image } from "../gpu/images.ts";
import { type Kernel, packParams } from "../gpu/kernel.ts";
import type { Gpu } from "./gpu.ts";
import type { DType, Shape, Storage, Tensor } from "./tensor.ts";

/** How many threads a kernel is wanted for; the engine rounds up to whole workgroups. */
export type Threads = readonly [x: number, y?: number, z?: number];

export interface Run {
  /**
   * Adds one dispatch. `tensors` go to the kernel's storage bindings by name, `params` fill its struct Params. A
   * tensor's binding is its own bytes, rounded up to 16.
   */
  (
    kernel: Kernel,
    tensors: Readonly<Record<string, Tensor | null>>,
    params: Readonly<Record<string, number>>,
    threads: Threads,
  ): void;
  /** Memory for this rule alone; it goes back to the pool when the rule ends. */
  scratch(shape: Shape, dtype?: DType): Tensor;
  /** What the adapter is and can do, to choose a kernel by. */
  readonly adapter: AdapterInfo;
}

/** Bindings end at a multiple of 16 bytes, so that any tensor can be read as `array<vec4f>`. */
const bindingBytes = (t: Tensor): number => Math.ceil(t.bytes / 16) * 16;

/** Whole workgroups for the threads; one axis is split over two where the kernel can tell. */
function gridOf(kernel: Kernel, threads: Threads, max: number): [number, number, number] {
  const [wx, wy, wz] = kernel.workgroup;
  const grid: [number, number, number] = [
    Math.ceil(threads[0] / wx),
    Math.ceil((threads[1] ?? 1) / wy),
    Math.ceil((threads[2] ?? 1) / wz),
  ];
  if (!grid.every((n) => n >= 1)) {
    throw new KernelError(`${kernel.label}: ${threads.join(" x ")} threads, expected at least 1`);
  }
  if (grid[0] > max && threads[1] === undefined && kernel.splits) {
    const rows = Math.ceil(grid[0] / max);
    grid[0] = Math.ceil(grid[0] / rows);
    grid[1] = rows;
  }
  const axis = grid.findIndex((n) => n > max);
  if (axis >= 0) {
    const hint = axis === 0 ? "; a kernel that takes num_workgroups is split over y" : "";
    throw new LimitError(
      `${kernel.label}: ${grid[axis]} workgroups in ${"xyz"[axis]}, the adapter allows ${max}${hint}`,
    );
  }
  return grid;
}

/** Adds one dispatch to the gpu's commands. */
export function dispatch(
  gpu: Gpu,
  kernel: Kernel,
  tensors: Readonly<Record<string, Tensor | null>>,
  params: Readonly<Record<string, number>>,
  threads: Threads,
): void {
  const { recorder, device, memory } = gpu.internals;
  device.check(kernel.label);
  const pipeline = recorder.pipelines.get(kernel, Object.keys(tensors));
  if (pipeline.failed) throw pipeline.failed;

  const bound: Tensor[] = [];
  const images: Image[] = [];
  const written = new Set<Storage>();
  let key = `${pipeline.id}`;
  let captured = "";
  for (const { name, kind } of pipeline.bindings) {
    if (kind === "uniform") continue;
    const t = tensors[name];
    if (!t) throw new KernelError(`${kernel.label}: binding '${name}' was not given a tensor`);
    t.check(kernel.label);
    if (t.gpu !== gpu) throw new DeviceError(`${kernel.label}: '${name}' belongs to another gpu`);
    if (t.node) {
      throw new TapeError(
        `${kernel.label}: '${name}' is being differentiated; a kernel needs defineOp to have a gradient`,
      );
    }
    if (kind === "storage") {
      if (t.storage.role === "input") {
        throw new RecordError(
          `${kernel.label}: '${name}' is an argument of the recorded function, which is read-only`,
        );
      }
      written.add(t.storage);
    }
    bound.push(t);
    captured += memory.captures(t);
    if (kind === "image") {
      const quads = Math.ceil(t.size / 4);
      const image = recorder.images.get(images.length, quads, kernel.label);
      images.push(image);
      key += `|i${image.id}`;
      continue;
    }
    key += `|${t.storage.buf.id}:${t.byteOffset}:${bindingBytes(t)}`;
  }
  pipeline.bindings.forEach(({ name, kind }, i) => {
    if (kind !== "read-only-storage" || !written.has(bound[i]!.storage)) return;
    throw new KernelError(
      `${kernel.label}: reads '${name}' from a buffer that it also writes; WebGPU validates whole buffers`,
    );
  });

  const words = packParams(kernel, params);
  const grid = gridOf(kernel, threads, device.info.limits.maxComputeWorkgroupsPerDimension!);
  const slice = kernel.params.length > 0 ? recorder.pipelines.slice(words) : null;
  if (slice) key += `|${slice.id}`;
  let image = 0;
  const group = recorder.pipelines.group(key, () => ({
    label: kernel.label,
    layout: pipeline.layout,
    entries: pipeline.bindings.map(({ slot, kind }, i) => {
      if (kind === "uniform") {
        const { buffer, offset } = slice!;
        return { binding: slot, resource: { buffer, offset, size: words.byteLength } };
      }
      if (kind === "image") return { binding: slot, resource: images[image++]!.view };
      const t = bound[i]!;
      const resource = { buffer: t.storage.buf.gpu, offset: t.byteOffset, size: bindingBytes(t) };
      return { binding: slot, resource };
    }),
  }));
  let drawn = 0;
  pipeline.bindings.forEach(({ kind }, i) => {
    if (kind === "image") memory.draw(bound[i]!, images[drawn++]!);
  });
  const values = kernel.params.map(({ name }) => `${name}=${params[name]}`).join(" ");
  recorder.add({
    kind: "dispatch",
    kernel,
    pipeline,
    group,
    grid,
    label: kernel.label,
    params: values,
    captured,
    reads: [...bound.map((t) => t.storage).filter((s) => !written.has(s)), ...images],
    writes: [...written],
  });
}
