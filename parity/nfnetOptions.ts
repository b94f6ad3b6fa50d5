// The reference's constructor arguments of NFNet in a case's config, as options of nn.nfnet.
import { FormatError, type nn } from "../src/index.ts";
import type { Settings } from "./config.ts";

type Options = Parameters<typeof nn.nfnet>[0];

/** Reads `variant` and the other arguments of `nfnet.py: NFNet`; the caller reads the sizes of its inputs. */
export function nfnetOptions(config: Settings, numClasses?: number): Options {
  const options: Record<string, unknown> = {
    variant: variantOf(config.any("variant")),
    numClasses: numClasses ?? config.number("num_classes"),
  };
  const take = (key: string, name: string, read: (key: string) => unknown) => {
    if (config.has(key)) options[name] = read(key);
  };
  const number = (key: string) => config.number(key);
  take("width", "width", number);
  take("se_ratio", "seRatio", number);
  take("alpha", "alpha", number);
  take("stochdepth_rate", "stochdepthRate", number);
  take("drop_rate", "dropRate", (key) => config.numberOrNull(key, null));
  take("activation", "activation", (key) => config.string(key));
  take("final_conv_mult", "finalConvMult", (key) => config.numberOrNull(key, null));
  take("final_conv_ch", "finalConvCh", (key) => config.numberOrNull(key, null));
  take("use_two_convs", "useTwoConvs", (key) => config.boolean(key, true));
  return options as unknown as Options;
}

const RENAMED: Readonly<Record<string, string>> = {
  width: "width",
  depth: "depth",
  expansion: "expansion",
  group_width: "groupWidth",
  big_width: "bigWidth",
  train_imsize: "trainImsize",
  test_imsize: "testImsize",
  drop_rate: "dropRate",
};

/** A variant's name, or an entry of the reference's `variant_dict` with our keys. */
export function variantOf(given: unknown): Options["variant"] {
  if (typeof given === "string") return given;
  if (typeof given !== "object" || given === null) {
    throw new FormatError(
      `config variant is ${JSON.stringify(given)}, expected a name or an object`,
    );
  }
  const entries = Object.entries(given).filter(([key]) => key !== "RA_level"); // augmentation
  const unknown = entries.filter(([key]) => !Object.hasOwn(RENAMED, key)).map(([key]) => key);
  if (unknown.length) throw new FormatError(`unknown variant key ${unknown.join(", ")}`);
  return Object.fromEntries(
    entries.map(([key, value]) => [RENAMED[key], value]),
  ) as unknown as Options["variant"];
}

/** The small variant of the goldens, as the other cases of a set usually spell it out. */
export const TINY_NFNET = {
  width: [16, 32, 64, 64],
  depth: [1, 2, 2, 1],
  group_width: [8, 8, 8, 8],
  train_imsize: 32,
  test_imsize: 32,
  drop_rate: 0,
};
