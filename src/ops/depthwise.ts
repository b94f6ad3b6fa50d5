// Convolutions with one input channel a group: too thin for a matrix product, so channels lie side by side instead.
import source from "../../shaders/depthwise.wgsl";
import type { Run } from "../core/dispatch.ts";
import type { Operands } from "./gemm.ts";
import { kernelOf } from "./kernelOf.ts";
import { sumRows } from "./reduce.ts";
import { type Geometry, gcd, type Pass, up } from "./variants.ts";

export const isDepthwise = (g: Geometry): boolean => g.ci === 1 && g.slices > 1;

/** Taps of an axis that a kernel has registers for; `ratio` of its lines are read a turn, each with loads of its own. */
const mostTaps = (ratio: number): number => (ratio > 2 ? 4 : 7);

/** What a pass does along one axis; the words are those of the kernel. */
function axisOf(g: Geometry, pass: Pass, i: 0 | 1) {
  const [stride, dilation, kernel] = [g.stride[i], g.dilation[i], g.kernel[i]];
  const common = gcd(stride, dilation);
  const [step, apart] = [dilation / common, (stride * dilation) / common];
  const backward = pass === "data";
  const hop = backward ? stride / common : 1;
  const reached = up(kernel, hop);
  const ratio = backward ? 1 : stride / common;
  const blocks = up(reached, mostTaps(ratio));
  const taps = up(reached, blocks);
  const whole = taps * blocks * hop === kernel && (!backward || common === 1);
  const walked = (backward ? [g.h, g.w] : [g.oh, g.ow])[i]!; // no class is without a pixel
  const lines = up(taps, Math.min(ratio, taps));
  return {
    ...{ taps, blocks, hop, ratio, whole, lines },
    ...{ classes: Math.min(backward ? apart : step, walked), step: backward ? step : dilation },
  };
}

type Axis = ReturnType<typeof axisOf>;

/** Columns of a thread: more share more loads, and take compilers longer (they write all loads and products out). */
function pixelsOf(v: Axis, h: Axis): number {
  const [down, across] = [Math.min(v.ratio, v.taps), Math.min(h.ratio, h.taps)];
  const loads = (pixels: number) => down * ((pixels - 1) * across + h.taps);
  return [4, 2].find((n) => loads(n) <= 14 && n * v.taps * h.taps < 100) ?? 1;
}

/** Runs one pass of a depthwise convolution; operands as for `gemm`. Writes all of `c`. */
export function depthwise(run: Run, g: Geometry, pass: Pass, operands: Operands): void {
  const { a, b, bias = null, c } = operands;
  const software = run.adapter.kind === "software";
  // A GPU gets more threads from single channels, which need fewer registers and are side by side in memory as well.
  const quads = software && g.co === 1 && g.slices % 4 === 0;
  const unit = quads ? 4 : 1;
  const [inputs, outputs] = [g.slices / unit, (g.slices * g.co) / unit];
  const [v, h] = [axisOf(g, pass, 0), axisOf(g, pass, 1)];
  const [x, y] = [
    [g.h, g.w, inputs],
    [g.oh, g.ow, outputs],
  ] as const;
  const [read, walk] = pass === "data" ? [y, x] : [x, y];
  const PIXELS = pixelsOf(v, h);
  const WG = software ? 8 : 64;
  const [high, wide] = [up(walk[0], v.classes), up(walk[1], h.classes)]; // of a class
  const columns = g.batch * v.classes * h.classes * up(wide, PIXELS);
  const threads = columns * walk[2] * (pass === "weight" ? v.blocks * h.blocks : 1);
  // Strips read LINES - 1 rows more than they make.
  const wanted = Math.floor((software ? 256 : 65_536) / threads);
  const strips = Math.max(1, Math.min(wanted, Math.floor(high / (4 * v.lines))));
  const rows = up(high, strips);
  const knobs = {
    F: quads ? "vec4f" : "f32",
    DATA: pass === "data",
    BIAS: bias !== null,
    MASK: pass !== "weight" && !(v.whole && h.whole),
    BLOCKS: v.blocks * h.blocks > 1 || (pass === "data" && g.co > 1),
    ...{ TAPS_H: v.taps, TAPS_W: h.taps },
    ...{ RATIO_H: Math.min(v.ratio, v.taps), RATIO_W: Math.min(h.ratio, h.taps) },
    ...{ PIXELS, WG },
  };
  const params = {
    ...{ batch: g.batch, readH: read[0], readW: read[1], walkH: walk[0], walkW: walk[1] },
    ...{ kernelH: g.kernel[0], kernelW: g.kernel[1], strideH: g.stride[0], strideW: g.stride[1] },
    ...{ dilationH: g.dilation[0], dilationW: g.dilation[1], padTop: g.pad[0], padLeft: g.pad[1] },
    ...{ classesH: v.classes, classesW: h.classes, hopH: v.hop, hopW: h.hop },
    ...{ stepH: v.step, stepW: h.step, ratioH: v.ratio, ratioW: h.ratio },
    ...{ readChannels: read[2], walkChannels: walk[2], multiplier: g.co },
    ...{ blocksH: v.blocks, blocksW: h.blocks, tapsH: v.taps, rows, strips },
  };
  if (pass === "weight") {
    const shared = outputs * v.blocks * h.blocks;
    const parts = Math.min(columns * strips, up(software ? 256 : 65_536, shared));
    const target = parts > 1 ? run.scratch([parts, c.size]) : c;
    const all = shared * parts;
    const tensors = { x: a, dy: b, y: target };
    run(kernelOf(source, "weight", knobs, []), tensors, { ...params, parts, threads: all }, [all]);
    if (parts > 1) sumRows(run, target, c);
    return;
  }
  const all = threads * strips;
  const tensors = { x: a, w: b, bias: bias ?? b, y: c };
  run(kernelOf(source, "slide", knobs, []), tensors, { ...params, parts: 1, threads: all }, [all]);
}
