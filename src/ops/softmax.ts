// Softmax and its logarithm along one axis. The loss over logits is in crossEntropy.ts.
import width1 from "../../shaders/lib/width1.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import source from "../../shaders/softmax.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { axisOf, wantDtype } from "./axes.ts";
import { transposeInto } from "./rearrange.ts";
import { rowKernel } from "./rows.ts";

export interface SoftmaxAttrs {
  readonly axis?: number;
}

/** Runs `entry` over the last axis of tensors, the last of which is written. */
function rows(run: Run, entry: string, log: boolean, tensors: Record<string, Tensor>): void {
  const [first] = Object.values(tensors) as [Tensor];
  const n = first.shape.at(-1)!;
  const wide = n % 4 === 0;
  const count = first.size / n;
  const software = run.adapter.kind === "software";
  const most = software ? 64 : 32_768; // workgroups cost a CPU, rows do not
  // Two rows at a time, once each workgroup has two.
  const knobs = { LOG: log, PAIRS: entry === "forward" && software && count >= 2 * most };
  const kernel = rowKernel(run, source, entry, knobs, [wide ? width4 : width1]);
  run(kernel, tensors, { rows: count, n: wide ? n / 4 : n }, [
    kernel.workgroup[0] * Math.min(count, most),
  ]);
}

/** The same over any axis: moved to the end and back. */
function along(
  run: Run,
  entry: string,
  log: boolean,
  axis: number,
  tensors: Record<string, Tensor>,
): void {
  const names = Object.keys(tensors);
  const last = names.at(-1)!;
  const { shape } = tensors[last]!;
  if (axis === shape.length - 1) {
    rows(run, entry, log, tensors);
    return;
  }
  const perm = [...shape.keys()].filter((i) => i !== axis);
  perm.push(axis);
  const moved = Object.fromEntries(
    names.map((name) => [name, run.scratch(perm.map((i) => shape[i]!))]),
  );
  for (const name of names)
    if (name !== last) transposeInto(run, tensors[name]!, perm, moved[name]!);
  rows(run, entry, log, moved);
  transposeInto(
    run,
    moved[last]!,
    perm.map((_, i) => perm.indexOf(i)),
    tensors[last]!,
  );
}

const softmaxOf = (name: string, log: boolean) =>
  defineOp({
    name,
    inputs: ["x"],
    saves: ["y"],
    shape: ({ x }, { axis = -1 }: SoftmaxAttrs) => {
      wantDtype(name, "x", x, "f32");
      axisOf(name, axis, x);
      return x.shape;
    },
    forward: (run, { x, y }, { axis = -1 }) =>
      along(run, "forward", log, axisOf(name, axis, x), { x, y }),
    backward: (run, { y, dy, dx }, { axis = -1 }) =>
      along(run, "backward", log, axisOf(name, axis, y), { out: y, dy, dx }),
  });
/** `exp(x) / sum(exp(x))` along `axis`, stable for any finite x. */
export const softmax = /* @__PURE__ */ softmaxOf("softmax", false);
/** The logarithm of softmax: `x - log(sum(exp(x)))` along `axis`. */
export const logSoftmax = /* @__PURE__ */ softmaxOf("logSoftmax", true);
