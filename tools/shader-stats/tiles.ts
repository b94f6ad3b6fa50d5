// The convolution family: every tile of the table for GPUs in every pass, and what else an adapter may run.
import { nfnetConvs } from "../../bench/conv2d.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { geometry } from "../../src/ops/conv2d.ts";
import { plan } from "../../src/ops/gemm.ts";
import {
  type Adapter,
  choose,
  type Pass,
  TILES,
  tileOf,
  type Variant,
  variantsOf,
} from "../../src/ops/variants.ts";
import type { Job } from "./compile.ts";

const PASSES: readonly Pass[] = ["forward", "data", "weight"];

/** Layers of NFNet-F0 at 192x192, batch 8: what the shares of the floors are measured on. */
const LAYERS = {
  "grouped 3x3": geometry([8, 24, 24, 256], [3, 3, 128, 256], { groups: 2 }),
  "1x1": geometry([8, 24, 24, 512], [1, 1, 512, 256], {}),
} as const;
type Layer = keyof typeof LAYERS;

/** A tile of the table in one pass of one layer. */
export interface TileCase {
  readonly layer: Layer;
  readonly pass: Pass;
  /** Rows x columns. */
  readonly tile: string;
  readonly variant: Variant;
  /** Of its job. */
  readonly label: string;
}

export const tileCases = (): TileCase[] =>
  (Object.keys(LAYERS) as Layer[]).flatMap((layer) =>
    TILES.flatMap((variant) =>
      PASSES.map((pass) => {
        const { m, n } = tileOf(variant);
        const tile = `${m}x${n}`;
        return { layer, pass, tile, variant, label: `${layer} ${tile} ${pass}` };
      }),
    ),
  );

export const tileJobs = (): Job[] =>
  tileCases().map(({ layer, pass, variant, label }) =>
    jobOf(plan(LAYERS[layer], pass, variant, pass === "forward", 0).kernel, label),
  );

/**
 * What the adapter's choice takes for the convolutions of NFNet-F0 at 192x192 and 64x64, batch 8, and every variant that
 * a tuner may pin.
 */
export function otherJobs(adapter: Adapter): Job[] {
  const convs = [192, 64]
    .flatMap((size) => nfnetConvs(size))
    .map(({ size, inCh, outCh, kernel, stride, groups }) =>
      geometry([8, size, size, inCh], [kernel, kernel, inCh / groups, outCh], { stride, groups }),
    );
  const layer = LAYERS["grouped 3x3"];
  return PASSES.flatMap((pass) => [
    ...convs.map((g) => plan(g, pass, choose(adapter, g, pass), false, 0).kernel),
    ...variantsOf(adapter).map((v) => plan(layer, pass, v, false, 0).kernel),
  ]).map((kernel) => jobOf(kernel, kernel.label));
}

const jobOf = ({ code, entry, constants }: Kernel, label: string): Job => ({
  label,
  code,
  entry,
  constants,
});
