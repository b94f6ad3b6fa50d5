// Kernels that take a row a workgroup, in the variant for an adapter. Not an op.
import row from "../../shaders/lib/row.wgsl";
import rowSubgroup from "../../shaders/lib/row_subgroup.wgsl";
import type { Run } from "../core/dispatch.ts";
import type { Kernel, KnobValue } from "../gpu/kernel.ts";
import { kernelOf } from "./kernelOf.ts";

/**
 * The kernel `entry` with `const WG` set and the row functions that fit: one subgroup a row where
 * all subgroups have one size (no barriers), else one workgroup of 64.
 */
export function rowKernel(
  run: Run,
  source: string,
  entry: string,
  knobs: Readonly<Record<string, KnobValue>>,
  uses: readonly string[],
): Kernel {
  const { subgroups } = run.adapter;
  const size = subgroups && subgroups.min === subgroups.max ? subgroups.min : 0;
  return kernelOf(
    source,
    entry,
    { ...knobs, WG: size || 64 },
    [...uses, size ? rowSubgroup : row],
    size ? ["subgroups"] : [],
  );
}
