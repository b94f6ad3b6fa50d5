// Convolutions with one input channel a group: too thin for a matrix product, so channels lie side by side instead.
import source from "../../shaders/depthwise.wgsl";
import type { Run } from "../core/dispatch.ts";
import { defineKernel } from "../gpu/kernel.ts";
import type { Operands } from "./gemm.ts";
import { sumRows } from "./reduce.ts";
import type { Geometry, Pass } from "./variants.ts";

const PIXELS = 4; // the kernel's: outputs of a thread
const make = (entry: Pass, F: string, bias: boolean) =>
  defineKernel(source, { entry, knobs: { F, BIAS: bias } });
const family = (F: string) => ({
  forward: [make("forward", F, false), make("forward", F, true)],
  data: [make("data", F, false), make("data", F, true)],
  weight: make("weight", F, false),
});
const kernels = /* @__PURE__ */ (() => ({ quads: family("vec4f"), scalars: family("f32") }))();

export const isDepthwise = (g: Geometry): boolean => g.ci === 1 && g.slices > 1;

/** Parts of the weight pass: enough threads for the adapter, at least 64 pixels each. */
function splitsOf(run: Run, threads: number, pixels: number): number {
  const want = run.adapter.kind === "software" ? 256 : 65_536;
  return Math.max(1, Math.min(Math.ceil(want / threads), Math.floor(pixels / 64)));
}

/** Runs one pass of a depthwise convolution; operands as for `gemm`. Writes all of `c`. */
export function depthwise(run: Run, g: Geometry, pass: Pass, operands: Operands): void {
  const { a, b, bias = null, c } = operands;
  const whole = g.co === 1 && g.slices % 4 === 0;
  const biased = bias ? 1 : 0;
  const made = kernels[whole ? "quads" : "scalars"];
  const channels = whole ? g.slices / 4 : g.slices;
  const [taps, pixels] = [g.kernel[0] * g.kernel[1], g.batch * g.oh * g.ow];
  const sizes = {
    ...{ batch: g.batch, h: g.h, w: g.w, oh: g.oh, ow: g.ow },
    ...{ kernelH: g.kernel[0], kernelW: g.kernel[1], strideH: g.stride[0], strideW: g.stride[1] },
    ...{ dilationH: g.dilation[0], dilationW: g.dilation[1], padTop: g.pad[0], padLeft: g.pad[1] },
    ...{ channels, multiplier: g.co, pixels },
  };
  if (pass === "forward") {
    const threads = g.batch * g.oh * Math.ceil(g.ow / PIXELS) * channels * g.co;
    run(made.forward[biased]!, { x: a, w: b, bias: bias ?? b, y: c }, { ...sizes, threads }, [
      threads,
    ]);
    return;
  }
  if (pass === "data") {
    const runs = Math.ceil(Math.ceil(g.w / g.stride[1]) / PIXELS) * g.stride[1];
    const threads = g.batch * g.h * runs * channels;
    run(made.data[biased]!, { dy: a, w: b, bias: bias ?? b, y: c }, { ...sizes, threads }, [
      threads,
    ]);
    return;
  }
  const splits = splitsOf(run, taps * channels * g.co, pixels);
  const threads = taps * channels * g.co * splits;
  const target = splits > 1 ? run.scratch([splits, c.size]) : c;
  const params = { ...sizes, pixels: Math.ceil(pixels / splits), threads };
  run(made.weight, { x: a, dyOfWeight: b, y: target }, params, [threads]);
  if (splits > 1) sumRows(run, target, c);
}
