// Which kernels a call runs: variants, tiles, grids. Times nothing.
import type { Gpu } from "../src/index.ts";
import type { KernelUse } from "./row.ts";

const keyOf = ({ kernel, variant, knobs, workgroup, grid }: Omit<KernelUse, "times">): string =>
  JSON.stringify([kernel, variant, knobs, workgroup, grid]);

/** Makes a call and says what it dispatched: equal dispatches together, in the order of the first of each. */
export function kernelsOf(gpu: Gpu, call: () => unknown): KernelUse[] {
  const uses = new Map<string, KernelUse>();
  for (const dispatch of gpu.kernels(call)) {
    const key = keyOf(dispatch);
    uses.set(key, { ...dispatch, times: (uses.get(key)?.times ?? 0) + 1 });
  }
  return [...uses.values()];
}

/** Dispatches of a call. */
export const count = (kernels: readonly KernelUse[]): number =>
  kernels.reduce((n, { times }) => n + times, 0);

/** `softmax:rows`, `conv2d tile 64x64x16 16x16`: a kernel, and its variant if it has one. */
function shortName({ kernel, variant }: KernelUse): string {
  const [file = "", entry] = kernel.replace(/^.*\/|\.wgsl/g, "").split(":");
  return variant ? `${file} ${variant}` : entry === "main" ? file : `${file}:${entry}`;
}

/** The kernels of a row in a column: one or two by name; of more, their number and the variants among them. */
export function kernelText(kernels: readonly KernelUse[]): string {
  const names = [...new Set(kernels.map(shortName))];
  if (names.length <= 2) return names.join(" + ");
  const variants = [...new Set(kernels.flatMap(({ variant }) => (variant ? [variant] : [])))];
  const shown = variants.length > 1 ? `${variants.length} variants` : variants.join();
  return `${names.length} kernels${shown && ` (${shown})`}`;
}
