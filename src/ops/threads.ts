// How loops over many items are shared out over threads. Not an op.
import span from "../../shaders/lib/span.wgsl";
import type { Run } from "../core/dispatch.ts";
import type { Tensor } from "../core/tensor.ts";
import type { AdapterInfo } from "../gpu/device.ts";
import { defineKernel, type Kernel, type KernelOptions } from "../gpu/kernel.ts";

/**
 * Threads for a loop over `items` of a kernel in which thread t takes items t, t + threads, ... A
 * software adapter wants a few threads a core (a workgroup costs it as much as a hundred items), a
 * GPU enough to fill it.
 */
export const loopThreads = (run: Run, items: number): number =>
  Math.min(items, run.adapter.kind === "software" ? 4096 : 262_144);

/** The workgroup size `WG` of a kernel that walks a `Span` of shaders/lib/span.wgsl: one subgroup of a CPU. */
export const spanWidth = (adapter: AdapterInfo): number => (adapter.kind === "software" ? 8 : 64);

/** Its workgroups: on a software adapter 16 turns each before there is another. */
export const spanGroups = (run: Run, items: number): number =>
  run.adapter.kind === "software"
    ? Math.min(64, Math.ceil(items / 128))
    : Math.min(4096, Math.ceil(items / 64));
export const spanThreads = (run: Run, items: number): number =>
  spanGroups(run, items) * spanWidth(run.adapter);

/** A kernel over spans, in both widths. */
export type SpanKernel = Readonly<Record<AdapterInfo["kind"], Kernel>>;

/** `defineKernel` for a text with `const WG` that walks a `Span`. */
export function spanKernel(source: string, options: KernelOptions): SpanKernel {
  const sized = (WG: number) =>
    defineKernel(source, {
      ...options,
      knobs: { ...options.knobs, WG },
      uses: [...(options.uses ?? []), span],
    });
  return { software: sized(8), hardware: sized(64) };
}

/** Runs it over `items`. */
export function runSpan(
  run: Run,
  kernels: SpanKernel,
  tensors: Readonly<Record<string, Tensor | null>>,
  params: Readonly<Record<string, number>>,
  items: number,
): void {
  run(kernels[run.adapter.kind], tensors, params, [spanThreads(run, items)]);
}
