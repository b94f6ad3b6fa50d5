// Scaled weight standardization: what makes a network normalizer-free. Not the convolution that
// uses the result.
import source from "../../shaders/standardize.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { maximum, mul, rsqrt, sub } from "./elementwise.ts";
import { mean, variance } from "./reduce.ts";

const COLUMNS = 8; // a workgroup's: CX of the kernel
/** `slices` threads share a column: more where there are cores for them. */
const variants = (F: string, gain: boolean, slices: number) => {
  const knobs = { F, GAIN: gain, CX: COLUMNS, SY: slices };
  return {
    forward: defineKernel(source, { entry: "forward", knobs }),
    backward: defineKernel(source, { entry: "backward", knobs }),
  };
};
const byGain = (F: string, slices: number) => ({
  with: variants(F, true, slices),
  without: variants(F, false, slices),
});
const kernels = /* @__PURE__ */ (() => ({
  software: { vec4: byGain("vec4f", 8), scalar: byGain("f32", 8) },
  hardware: { vec4: byGain("vec4f", 32), scalar: byGain("f32", 32) },
}))();

function plan(run: Run, w: Tensor, gain: Tensor | null) {
  const cols = w.shape.at(-1)!;
  const wide = cols % 4 === 0;
  const kernel = kernels[run.adapter.kind][wide ? "vec4" : "scalar"][gain ? "with" : "without"];
  const columns = wide ? cols / 4 : cols;
  const threads = (workgroup: readonly number[]): [number] => [
    Math.ceil(columns / COLUMNS) * workgroup[0]!,
  ];
  return { kernel, threads, params: { rows: w.size / cols, cols: columns } };
}

/** The same from plain ops, as the reference writes it. */
export function plainStandardize(w: Tensor, gain: Tensor | null, eps: number): Tensor {
  const options = { axis: [...w.shape.keys()].slice(0, -1), keepDims: true };
  const fanIn = w.size / w.shape.at(-1)!;
  const root = rsqrt(maximum(mul(variance(w, options), fanIn), eps));
  const scale = gain ? mul(root, gain) : root;
  return sub(mul(w, scale), mul(mean(w, options), scale));
}

/**
 * Scaled weight standardization over all axes but the last (`base.py: WSConv2D.standardize_weight`;
 * Brock et al. 2021, section 2): `(w - mean) * rsqrt(max(var * fan_in, eps)) * gain`, var biased,
 * fan_in the product of the leading dimensions.
 *
 * w `[..., out]` (HWIO for a convolution, whose I is already that of one group), gain `[out]`; the
 * result is like w. Where eps is the greater, the gradient has no variance term.
 *
 * @throws ShapeError
 */
export const standardize = /* @__PURE__ */ defineOp({
  name: "standardize",
  inputs: ["w", "gain?"],
  shape: ({ w, gain }, { eps = 1e-4 }: { eps?: number }) => {
    if (w.dtype !== "f32") throw new ShapeError(`standardize: w is ${w.dtype}, expected f32`);
    if (w.shape.length < 2)
      throw new ShapeError(`standardize: w [${w.shape}] expects at least 2 dimensions`);
    const out = w.shape.at(-1)!;
    if (gain && (gain.dtype !== "f32" || gain.shape.length !== 1 || gain.size !== out)) {
      const what = `${gain.dtype} [${gain.shape}]`;
      throw new ShapeError(`standardize: gain is ${what}, w [${w.shape}] expects f32 [${out}]`);
    }
    if (!(eps >= 0)) throw new ShapeError(`standardize: eps ${eps} is below 0`);
    return w.shape;
  },
  forward: (run, { w, gain, y }, { eps = 1e-4 }) => {
    const { kernel, threads, params } = plan(run, w, gain);
    const { forward } = kernel;
    run(forward, { w, gain: gain ?? w, y }, { ...params, eps }, threads(forward.workgroup));
  },
  backward: (run, { w, gain, dy, dw, dgain }, { eps = 1e-4 }) => {
    const { kernel, threads, params } = plan(run, w, gain);
    const { backward } = kernel;
    const tensors = {
      w,
      gain: gain ?? w,
      dy,
      dw: dw ?? run.scratch(w.shape),
      dgain: dgain ?? run.scratch([w.shape.at(-1)!]),
    };
    run(backward, tensors, { ...params, eps }, threads(backward.workgroup));
  },
  reference: ({ w, gain }, { eps = 1e-4 }) => plainStandardize(w, gain, eps),
});
