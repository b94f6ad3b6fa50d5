// The residual blocks of NFNet, NF-RegNet and NF-ResNet: output, the residual's variance, all gradients.
import { FormatError, nn, random, type Tensor } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { applyLayer, moduleOf, onlyInputs } from "../compute.ts";
import { type Settings, settings } from "../config.ts";
import { hasKinks } from "../kinks.ts";

export const nfblock: Category = {
  async run(gpu, given) {
    const config = settings(given.config, ["h", "w", "batch"]); // the shape of x says these
    const make = Object.entries(byReference).find(([name]) =>
      given.reference.startsWith(name),
    )?.[1];
    if (!make) throw new FormatError(`unknown block ${given.reference}`);
    const activation = config.string("activation");
    const { block, excites } = make(config);
    const seed = config.has("rng_seed") ? config.number("rng_seed") : null;
    config.end();
    onlyInputs(given, ["x", "ct", "p/"]);
    const names = nn.haikuNames(block.spec, moduleOf(given, "block"));
    const keys = seed === null ? null : random.keys(random.key(seed), Math.max(1, block.draws));
    const outputs = await applyLayer(gpu, given, { spec: block.spec, names }, (p, x: Tensor) => {
      const mode = keys ? { train: true, keys: gpu.tensor(keys) } : { train: false };
      const { out, resAvgVar } = block.outputs(p, x, mode);
      return { value: out, beside: { res_avg_var: resAvgVar } };
    });
    return { outputs, kinks: hasKinks(activation) || excites };
  },
};

interface Made {
  readonly block: nn.Block;
  /** It has squeeze-and-excite, whose relu is plain. */
  readonly excites: boolean;
}

/** What all blocks have; absent keys are left to our defaults, which are the reference's. */
function common(config: Settings) {
  const { number } = optional(config);
  return {
    inCh: config.number("in_ch"),
    outCh: config.number("out_ch"),
    activation: config.string("activation") as NonNullable<nn.BlockOptions["activation"]>,
    ...number("stride", "stride"),
    ...number("beta", "beta"),
    ...number("alpha", "alpha"),
    ...number("stochdepth_rate", "stochdepthRate"),
    ...number("se_ratio", "seRatio"),
  };
}

function optional(config: Settings) {
  const reader =
    <T>(read: (key: string) => T) =>
    <K extends string>(key: string, name: K) =>
      (config.any(key) ?? null) === null ? {} : ({ [name]: read(key) } as Record<K, T>);
  return {
    number: reader((key) => config.number(key)),
    boolean: reader((key) => config.boolean(key, false)),
  };
}

const byReference: Readonly<Record<string, (config: Settings) => Made>> = {
  "nfnet.py:NFBlock": (config) => {
    const { number, boolean } = optional(config);
    const block = nn.nfBlock({
      ...common(config),
      ...number("expansion", "expansion"),
      ...number("kernel_shape", "kernelShape"),
      ...number("group_size", "groupSize"),
      ...boolean("big_width", "bigWidth"),
      ...boolean("use_two_convs", "useTwoConvs"),
    });
    return { block, excites: true };
  },
  "nf_regnet.py:NFBlock": (config) => {
    const { number } = optional(config);
    const block = nn.nfRegnetBlock({
      ...common(config),
      ...number("expansion", "expansion"),
      ...number("kernel_size", "kernelSize"),
      ...number("group_size", "groupSize"),
    });
    return { block, excites: true };
  },
  "nf_resnet.py:NFResBlock": (config) => {
    const { number, boolean } = optional(config);
    const block = nn.nfResBlock({
      ...common(config),
      ...number("bottleneck_ratio", "bottleneckRatio"),
      ...number("kernel_size", "kernelSize"),
      ...boolean("use_se", "useSe"),
    });
    return { block, excites: config.boolean("use_se", false) };
  },
};
