// The networks that NFNets are compared with, from a case's reference and config: the reference's constructor arguments
// as options of ours.
import { FormatError, nn, type ParamSpec, type SpecTree, type Tensor } from "../src/index.ts";
import type { Names } from "./compute.ts";
import type { Settings } from "./config.ts";

/** A tree of tensors whose type is the network's business. */
export type Opaque = Readonly<Record<string, Tensor>>;
type OpaqueSpec = Readonly<Record<string, ParamSpec>>;

export interface Application {
  readonly train: boolean;
  readonly keys: Tensor | undefined;
  readonly state: Opaque | null;
  readonly testLocalStats: boolean;
}

export interface Network {
  readonly spec: OpaqueSpec;
  readonly names: Names;
  readonly draws: number;
  /** Running statistics; null without batch normalization. */
  readonly state: { readonly spec: OpaqueSpec; readonly names: Names } | null;
  readonly outputs: (
    params: Opaque,
    x: Tensor,
    mode: Application,
  ) => nn.ModelOutputs & { readonly state?: Opaque };
}

type Kind = "number" | "numberOrNull" | "boolean" | "string";

/** Those of the settings that are there, in camelCase; the others keep our defaults, which are the reference's. */
function given(config: Settings, kinds: Readonly<Record<string, Kind>>): Record<string, unknown> {
  const read = {
    number: (key: string) => config.number(key),
    numberOrNull: (key: string) => config.numberOrNull(key, null),
    boolean: (key: string) => config.boolean(key, false),
    string: (key: string) => config.string(key),
  };
  const there = Object.entries(kinds).filter(([key]) => config.has(key));
  return Object.fromEntries(there.map(([key, kind]) => [camel(key), read[kind](key)]));
}
const camel = (key: string): string => key.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());

/** An object of a config with our keys. @throws FormatError for another one. */
function renamed(what: string, value: object, known: readonly string[]): Record<string, unknown> {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length) throw new FormatError(`unknown ${what} key ${unknown.join(", ")}`);
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [camel(key), v]));
}

const isObject = (x: unknown): x is object => typeof x === "object" && x !== null;

/** The goldens' own variants, where a case does not spell them out. */
export const TINY = {
  nfRegnet: {
    width: [16, 24, 32, 44],
    depth: [1, 2, 1, 1],
    trainImsize: 32,
    testImsize: 32,
    dropRate: 0,
  },
  resnet: { depth: [1, 2, 1, 1] },
};

function regnetVariant(config: Settings): unknown {
  const value = config.any("variant");
  if (value === "Tiny") return TINY.nfRegnet;
  if (!isObject(value)) return value;
  const keys = ["width", "depth", "train_imsize", "test_imsize", "drop_rate", "RA_level"];
  return renamed("variant", value, keys);
}

/** `depth` spells out a variant that the reference's table does not have. */
function resnetVariant(config: Settings): unknown {
  const value = config.any("variant");
  const depth = config.any("depth");
  if (depth !== undefined && !isObject(value)) return { depth };
  if (value === "Tiny") return TINY.resnet;
  return isObject(value) ? renamed("variant", value, ["depth", "drop_rate"]) : value;
}

interface Made {
  readonly options: Record<string, unknown>;
  readonly variant: unknown;
}
type Reader = (config: Settings) => Made;

const plain: Reader = (config) => ({
  variant: resnetVariant(config),
  options: given(config, {
    width: "number",
    stochdepth_rate: "number",
    drop_rate: "numberOrNull",
    activation: "string",
  }),
});

/** By the class of the reference: its arguments, and our model. */
const families: Readonly<
  Record<string, { readonly read: Reader; readonly make: (options: never) => Model | Normalized }>
> = {
  NF_ResNet: {
    make: nn.nfResnet,
    read: (config) => ({
      variant: resnetVariant(config),
      options: given(config, {
        width: "number",
        alpha: "number",
        stochdepth_rate: "number",
        drop_rate: "numberOrNull",
        activation: "string",
        use_se: "boolean",
        se_ratio: "number",
      }),
    }),
  },
  NF_RegNet: {
    make: nn.nfRegnet,
    read: (config) => ({
      variant: regnetVariant(config),
      options: given(config, {
        width: "number",
        expansion: "number",
        group_size: "number",
        se_ratio: "number",
        alpha: "number",
        stochdepth_rate: "number",
        drop_rate: "numberOrNull",
        activation: "string",
      }),
    }),
  },
  SkipInit_ResNet: { make: nn.skipinitResnet, read: plain },
  FixUp_ResNet: { make: nn.fixupResnet, read: plain },
  ResNet: {
    make: nn.resnet,
    read: (config) => ({
      variant: resnetVariant(config),
      options: {
        ...given(config, {
          width: "number",
          activation: "string",
          drop_rate: "number",
          preactivation: "boolean",
          use_se: "boolean",
          se_ratio: "number",
        }),
        ...normOptions(config),
        ...convOptions(config),
      },
    }),
  },
};

function normOptions(config: Settings): object {
  const which = config.any("which_norm") ?? "BatchNorm";
  if (which !== "BatchNorm") throw new FormatError(`config which_norm is ${which}`);
  const value = config.any("norm_kwargs") ?? null;
  if (!isObject(value)) return {};
  const { data_format, cross_replica_axis, ...rest } = value as Record<string, unknown>;
  const known = [undefined, "channels_last", "NHWC", "N...C"];
  if (!known.includes(data_format as string | undefined))
    throw new FormatError(`norm_kwargs data_format is ${JSON.stringify(data_format)}`);
  if ((cross_replica_axis ?? null) !== null)
    throw new FormatError("norm_kwargs cross_replica_axis: there is one device");
  const keys = ["create_scale", "create_offset", "decay_rate", "eps", "axis"];
  return { normKwargs: renamed("norm_kwargs", rest, keys) };
}

function convOptions(config: Settings): object {
  const value = config.any("conv_kwargs") ?? null;
  return isObject(value) ? { convKwargs: renamed("conv_kwargs", value, ["rate"]) } : {};
}

/** What the models have in common, with their parameters' types forgotten. */
interface Model {
  readonly spec: SpecTree;
  readonly names: Names;
  readonly draws: number;
  readonly outputs: (params: never, x: Tensor, mode: never) => nn.ModelOutputs;
}
interface Normalized extends Model {
  readonly stateSpec: SpecTree;
  readonly stateNames: Names;
}

/** Initial values, which a case's own replace. */
const NOTES = ["fc_init", "skipinit_gain"];

/** The network of a case; the caller reads the sizes of its inputs. @throws FormatError for an unknown reference. */
export function networkOf(reference: string, config: Settings): Network {
  const className = /^\w+\.py:(\w+)/.exec(reference)?.[1] ?? "";
  const family = Object.hasOwn(families, className) ? families[className] : undefined;
  if (!family) throw new FormatError(`unknown network ${reference}`);
  const { options, variant } = family.read(config);
  for (const key of NOTES) config.any(key);
  const all = {
    numClasses: config.number("num_classes"),
    ...(variant === undefined ? {} : { variant }),
    ...options,
  };
  const model = family.make(all as never);
  const name = config.string("name", className);
  const named = (names: Names): Names =>
    Object.fromEntries(
      Object.entries(names).map(([path, full]) => [path, name + full.slice(className.length)]),
    );
  return {
    spec: model.spec as unknown as OpaqueSpec,
    names: named(model.names),
    draws: model.draws,
    state:
      "stateSpec" in model
        ? { spec: model.stateSpec as unknown as OpaqueSpec, names: named(model.stateNames) }
        : null,
    outputs: (params, x, mode) =>
      model.outputs(params as never, x, { ...mode, returnMetrics: true } as never),
  };
}
