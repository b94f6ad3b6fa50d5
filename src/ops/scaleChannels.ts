// Each channel of each image by its own factor: the end of a squeeze-and-excite block. Not the
// block's linear layers.
import expLib from "../../shaders/lib/exp.wgsl";
import width1 from "../../shaders/lib/width1.wgsl";
import width4 from "../../shaders/lib/width4.wgsl";
import source from "../../shaders/scaleChannels.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineOp } from "../core/op.ts";
import type { Tensor } from "../core/tensor.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { add, div, exp, mul, neg } from "./elementwise.ts";
import { reshape } from "./rearrange.ts";

const COLUMNS = 8; // a workgroup's: CX of the kernel
const variants = (width: string, gate: boolean, slices: number) => {
  const knobs = { SIGMOID: gate, CX: COLUMNS, SY: slices };
  const uses = [width, expLib];
  const kernel = (entry: string) => defineKernel(source, { entry, knobs, uses });
  return {
    forward: kernel("forward"),
    forwardRows: kernel("forwardRows"),
    backward: kernel("backward"),
    kernel,
  };
};
const byGate = (width: string, slices: number) => ({
  sigmoid: variants(width, true, slices),
  none: variants(width, false, slices),
});
// One subgroup of a CPU walks its columns row by row.
const kernels = /* @__PURE__ */ (() => ({
  software: { vec4: byGate(width4, 1), scalar: byGate(width1, 1) },
  hardware: { vec4: byGate(width4, 32), scalar: byGate(width1, 32) },
}))();
/** The gradient in two halves, of squeezeExcite.ts. */
const halves = /* @__PURE__ */ (() => {
  const of = (kind: "software" | "hardware", width: "vec4" | "scalar") => {
    const { kernel } = kernels[kind][width].sigmoid;
    return {
      gateGradient: kernel("gateGradient"),
      spread: kernel("spread"),
      spreadRows: kernel("spreadRows"),
    };
  };
  const both = (kind: "software" | "hardware") => ({
    vec4: of(kind, "vec4"),
    scalar: of(kind, "scalar"),
  });
  return { software: both("software"), hardware: both("hardware") };
})();

export interface ScaleChannelsAttrs {
  /** A constant factor; 2 in the reference's blocks. */
  readonly scale?: number;
  /** What h goes through. */
  readonly gate?: "sigmoid" | "none";
}

/** Blocks of columns of all images, and spans of rows: enough workgroups to fill the adapter. */
function plan(run: Run, x: Tensor, gate: "sigmoid" | "none") {
  const [images, channels] = [x.shape[0]!, x.shape.at(-1)!];
  const wide = channels % 4 === 0;
  const cols = wide ? channels / 4 : channels;
  const rows = x.size / images / channels;
  const blocks = Math.ceil(cols / COLUMNS);
  const wanted = run.adapter.kind === "software" ? 16 : 1024;
  const most = Math.ceil(rows / 32); // 4 rows a thread at least
  const span = Math.ceil(rows / Math.min(most, Math.ceil(wanted / (images * blocks))));
  const width = wide ? "vec4" : "scalar";
  const kernel = kernels[run.adapter.kind][width][gate];
  const half = halves[run.adapter.kind][width];
  return { kernel, half, groups: images * blocks, params: { rows, cols, blocks }, span };
}
type Plan = ReturnType<typeof plan>;

const TABLE = 512; // of the kernel
/** The grid of `forwardRows` and `spreadRows`, where they are the faster way: one workgroup a stretch of rows. */
function rowwise(run: Run, { params }: Plan, images: number, scale: number) {
  const { rows, cols } = params;
  if (run.adapter.kind !== "software" || cols < COLUMNS || cols > TABLE) return null;
  const span = Math.max(8, Math.ceil(rows / Math.ceil(64 / images))); // gates are worth some rows
  const spans = Math.ceil(rows / span);
  return { ...params, scale, span, spans, groups: images * spans };
}
/** The grid over spans of rows, and that over whole images. */
function spanning({ params, groups, span }: Plan, scale: number) {
  const spans = Math.ceil(params.rows / span);
  return { ...params, scale, span, spans, groups: groups * spans };
}
const imagewise = ({ params, groups }: Plan, scale: number) => {
  return { ...params, scale, span: params.rows, spans: 1, groups };
};

function scaleBy(
  run: Run,
  x: Tensor,
  h: Tensor,
  y: Tensor,
  scale: number,
  gate: "sigmoid" | "none",
): void {
  const p = plan(run, x, gate);
  const rows = rowwise(run, p, x.shape[0]!, scale);
  const params = rows ?? spanning(p, scale);
  const kernel = rows ? p.kernel.forwardRows : p.kernel.forward;
  run(kernel, { x, h, y }, params, [params.groups * kernel.workgroup[0]]);
}
/** `y = x * scale * sigmoid(h)`. For the rules of other ops. */
export function scaleInto(run: Run, x: Tensor, h: Tensor, y: Tensor, scale: number): void {
  scaleBy(run, x, h, y, scale, "sigmoid");
}
/** The gradient of h in it. */
export function gateGradientInto(
  run: Run,
  tensors: Readonly<Record<"x" | "h" | "dy" | "dh", Tensor>>,
  scale: number,
): void {
  const p = plan(run, tensors.x, "sigmoid");
  const { gateGradient } = p.half;
  run(gateGradient, tensors, imagewise(p, scale), [p.groups * gateGradient.workgroup[0]]);
}
/** `dx = dy * scale * sigmoid(h) + more / rows`: the gradient of x in it where h depends on x's mean, of gradient `more`. */
export function spreadInto(
  run: Run,
  tensors: Readonly<Record<"dy" | "h" | "more" | "dx", Tensor>>,
  scale: number,
): void {
  const p = plan(run, tensors.dy, "sigmoid");
  const rows = rowwise(run, p, tensors.dy.shape[0]!, scale);
  const params = rows ?? spanning(p, scale);
  const kernel = rows ? p.half.spreadRows : p.half.spread;
  run(kernel, tensors, params, [params.groups * kernel.workgroup[0]]);
}

/** The same from plain ops. */
export function plainScaleChannels(
  x: Tensor,
  h: Tensor,
  scale: number,
  gate: "sigmoid" | "none",
): Tensor {
  const factors = gate === "sigmoid" ? div(1, add(exp(neg(h)), 1)) : h;
  const shape = x.shape.map((d, i) => (i === 0 || i === x.shape.length - 1 ? d : 1));
  return mul(mul(x, scale), reshape(factors, { shape }));
}

/**
 * `x * scale * gate(h)`, h one number for each image and channel (`nfnet.py: NFBlock.__call__`,
 * after SqueezeExcite).
 *
 * x `[n, ..., c]`, h `[n, c]`; the result is like x.
 *
 * @throws ShapeError
 */
export const scaleChannels = /* @__PURE__ */ defineOp({
  name: "scaleChannels",
  inputs: ["x", "h"],
  shape: ({ x, h }, { gate = "sigmoid" }: ScaleChannelsAttrs) => {
    if (x.dtype !== "f32" || h.dtype !== "f32")
      throw new ShapeError(`scaleChannels: x is ${x.dtype}, h ${h.dtype}, expected f32`);
    const [n, c] = [x.shape[0], x.shape.at(-1)];
    if (x.shape.length < 2)
      throw new ShapeError(`scaleChannels: x [${x.shape}] expects at least 2 dimensions`);
    if (h.shape.length !== 2 || h.shape[0] !== n || h.shape[1] !== c)
      throw new ShapeError(`scaleChannels: h is [${h.shape}], x [${x.shape}] expects [${n},${c}]`);
    if (gate !== "sigmoid" && gate !== "none")
      throw new ShapeError(`scaleChannels: gate '${gate}' is none of sigmoid, none`);
    return x.shape;
  },
  forward: (run, { x, h, y }, { scale = 1, gate = "sigmoid" }) =>
    scaleBy(run, x, h, y, scale, gate),
  backward: (run, { x, h, dy, dx, dh }, { scale = 1, gate = "sigmoid" }) => {
    const p = plan(run, x, gate);
    const tensors = {
      x,
      h,
      dy,
      dx: dx ?? run.scratch(x.shape),
      dh: dh ?? run.scratch(h.shape),
    };
    const { backward } = p.kernel;
    run(backward, tensors, imagewise(p, scale), [p.groups * backward.workgroup[0]]);
  },
  reference: ({ x, h }, { scale = 1, gate = "sigmoid" }) => plainScaleChannels(x, h, scale, gate),
});
