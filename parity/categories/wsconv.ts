// base.py: WSConv2D: the convolution, its standardized weight, and all gradients.
import { nn, ops } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { applyLayer, moduleOf, onlyInputs } from "../compute.ts";
import { settings } from "../config.ts";

export const wsconv: Category = {
  async run(gpu, given) {
    // The sizes of x are in its shape, var_fan_in says how the stored weights were chosen, and the reference ignores
    // with_bias.
    const config = settings(given.config, ["h", "w", "batch", "var_fan_in", "with_bias"]);
    const layer = nn.wsConv2d({
      inCh: config.number("in_ch"),
      outCh: config.number("out_ch"),
      kernelShape: config.size("kernel"),
      stride: config.size("stride", 1),
      padding: config.string("padding", "SAME") as "SAME" | "VALID",
      dilation: config.size("rate", 1),
      groups: config.number("groups", 1),
    });
    const eps = config.number("eps", 1e-4);
    config.end();
    onlyInputs(given, ["x", "ct", "p/"]);
    const names = nn.haikuNames(layer.spec, moduleOf(given, "conv"));
    const outputs = await applyLayer(gpu, given, { spec: layer.spec, names }, (p, x) => ({
      value: layer(p, x, { eps }),
      beside: { ws: ops.standardize(p.w, p.gain, { eps }) },
    }));
    return { outputs };
  },
};
