// base.py: WSConv2D: the convolution, its standardized weight, and all gradients.
import { nn, ops } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { applyLayer, onlyInputs } from "../compute.ts";
import { type Settings, settings } from "../config.ts";

export const wsconv: Category = {
  async run(gpu, given) {
    // The sizes of x are in its shape, and var_fan_in says how the stored weights were chosen.
    const config = settings(given.config, ["h", "w", "batch", "var_fan_in"]);
    const layer = nn.wsConv2d({
      inCh: config.number("in_ch"),
      outCh: config.number("out_ch"),
      kernelShape: size(config, "kernel"),
      stride: size(config, "stride", 1),
      padding: config.string("padding", "SAME") as "SAME" | "VALID",
      dilation: size(config, "rate", 1),
      groups: config.number("groups", 1),
    });
    const eps = config.number("eps", 1e-4);
    config.end();
    onlyInputs(given, ["x", "ct", "p/"]);
    const names = { w: "conv/w", gain: "conv/gain", bias: "conv/bias" };
    const outputs = await applyLayer(gpu, given, { spec: layer.spec, names }, (p, x) => ({
      value: layer(p, x, { eps }),
      beside: { ws: ops.standardize(p.w, p.gain, { eps }) },
    }));
    return { outputs };
  },
};

/** One size for both axes, or a pair. */
function size(config: Settings, key: string, otherwise?: number): number | [number, number] {
  const value = config.any(key);
  if (Array.isArray(value) && value.length === 2) return value as [number, number];
  return config.number(key, otherwise);
}
