// Runs the three passes of shaders/conv2d.wgsl as variants.ts chooses. Knows sizes, not ops: conv2d.ts and matmul.ts
// say what a product means.
import source from "../../shaders/conv2d.wgsl";
import bias from "../../shaders/lib/gemm_bias.wgsl";
import buffers from "../../shaders/lib/gemm_buffers.wgsl";
import images from "../../shaders/lib/gemm_images.wgsl";
import lanes from "../../shaders/lib/gemm_lanes.wgsl";
import place from "../../shaders/lib/gemm_place.wgsl";
import registers from "../../shaders/lib/gemm_registers.wgsl";
import tile from "../../shaders/lib/gemm_tile.wgsl";
import type { Run } from "../core/dispatch.ts";
import type { Tensor } from "../core/tensor.ts";
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { sumRows } from "./reduce.ts";
import {
  choose,
  type Geometry,
  gcd,
  nameOf,
  type Pass,
  sizesOf,
  tileOf,
  up,
  type Variant,
  wholeQuads,
} from "./variants.ts";

const CORES = { lanes, tile, registers };
const kernels = new Map<string, Kernel>();

/** The kernel for a variant; made when first needed, the same object ever after. */
function kernelOf(
  entry: string,
  variant: Variant,
  drawn: boolean,
  knobs: Readonly<Record<string, number | boolean | string>>,
) {
  const { core } = variant;
  const name = nameOf({ ...variant, images: drawn });
  const key = `${name} ${entry} ${Object.values(knobs).join()}`;
  let kernel = kernels.get(key);
  if (!kernel) {
    const enables = core === "lanes" ? ["subgroups"] : [];
    const uses = [place, bias, drawn ? images : buffers, CORES[core]];
    kernel = defineKernel(source, { entry, knobs, uses, enables, variant: name });
    kernels.set(key, kernel);
  }
  return kernel;
}

/** All that a dispatch of a pass needs: the kernel, its Params, its threads. */
export function plan(g: Geometry, pass: Pass, variant: Variant, biased: boolean, wSize: number) {
  const { core, lanes: size, wx, wy, rows, quads, depth, prefetch, splits } = variant;
  const { m, n, k, parts } = sizesOf(g, pass);
  const { x4, y4 } = wholeQuads(g);
  const [a4, c4] = pass === "data" ? [y4, x4] : [x4, y4];
  const element = (whole: boolean) => (whole ? "vec4f" : "f32");
  const tapQuads = up(pass === "data" ? g.co : g.ci, 4);
  const knobs = {
    PASS: { forward: 0, data: 1, weight: 2 }[pass],
    AElement: element(a4),
    BElement: element(y4),
    CElement: element(c4),
    X4: x4,
    Y4: y4,
    MASK_A: masked(g, pass),
    MASK_K: pass === "weight" ? k % depth !== 0 : tapQuads % (depth / 4) !== 0,
    BIAS: biased,
    ...{
      LANES: size,
      HIGH: [1, 2, 4].find((rows) => m <= rows && rows < size) ?? size,
      WX: wx,
      WY: wy,
      ROWS: rows,
      QUADS: quads,
      DEPTH: depth,
      PREFETCH: prefetch,
    },
  };
  const { m: tileM, n: tileN, threads: workgroup } = tileOf(variant);
  const [columnTiles, rowTiles] = [up(n, tileN), up(m, tileM)];
  const tiles = columnTiles * rowTiles * g.slices * (pass === "weight" ? splits : parts);
  const hop = g.stride.map((s, i) => (pass === "data" ? s / gcd(s, g.dilation[i]!) : 1));
  const step = g.dilation.map((d, i) => (pass === "data" ? (-hop[i]! * d) / g.stride[i]! : d));
  const threads = core === "registers" ? 1 : workgroup; // of a tile
  const params = {
    ...{ batch: g.batch, h: g.h, w: g.w, oh: g.oh, ow: g.ow },
    ...{ kernelH: g.kernel[0], kernelW: g.kernel[1], strideH: g.stride[0], strideW: g.stride[1] },
    ...{ hopH: hop[0]!, hopW: hop[1]!, dilationH: g.dilation[0], dilationW: g.dilation[1] },
    ...{ stepH: step[0]!, stepW: step[1]!, padTop: g.pad[0], padLeft: g.pad[1] },
    ...{ ci: g.ci, co: g.co, slices: g.slices, splits },
    ...{ xPixel: g.xPixel, yPixel: g.yPixel, wRow: g.wRow },
    ...{ xSlice: g.xSlice, ySlice: g.ySlice, wSlice: g.wSlice },
    ...{ wSize, columnTiles, rowTiles, tiles },
  };
  const drawn = variant.images && a4 && y4; // an image has no other elements than whole quads
  const kernel = kernelOf(c4 ? "quads" : "scalars", variant, drawn, knobs);
  return {
    ...{ kernel, params, threads: tiles * threads },
    names: {
      ...(drawn ? { a: "aImage", b: "bImage" } : { a: "a", b: "b" }),
      c: c4 ? "c" : "cScalars",
    },
  };
}

/** Whether a load of A can fall outside of its image. */
function masked(g: Geometry, pass: Pass): boolean {
  const [size, out] = [
    [g.h, g.w],
    [g.oh, g.ow],
  ] as const;
  const reach = [0, 1].map((i) => (g.kernel[i]! - 1) * g.dilation[i]!);
  if (pass === "data")
    return [0, 1].some(
      (i) => reach[i]! > 0 || g.pad[i]! > 0 || up(size[i]!, g.stride[i]!) > out[i]!,
    );
  const outside = [0, 1].some(
    (i) => g.pad[i]! > 0 || (out[i]! - 1) * g.stride[i]! + reach[i]! >= size[i]!,
  );
  return outside;
}

/** The tensors of a pass: forward x, w -> y; data dy, w -> dx; weight x, dy -> dw. */
export interface Operands {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor | null;
  readonly c: Tensor;
}

/** Runs one pass. Writes all of `c`. */
export function gemm(run: Run, g: Geometry, pass: Pass, { a, b, bias = null, c }: Operands): void {
  const variant = choose(run.adapter, g, pass);
  const { kernel, names, params, threads } = plan(g, pass, variant, bias !== null, c.size);
  const target = variant.splits > 1 ? run.scratch([variant.splits, c.size]) : c;
  const tensors = { [names.a]: a, [names.b]: b, bias: bias ?? b, [names.c]: target };
  run(kernel, tensors, params, [threads]);
  if (variant.splits > 1) sumRows(run, target, c);
}
