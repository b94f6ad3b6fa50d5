// What a network is, without computing anything: names and shapes of its parameters and running statistics in the order
// of their creation, counts, multiply-adds, block settings. For all published variants.
import { FormatError, nn, type ParamSpec, type SpecTree } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { settings } from "../config.ts";
import { failed, type Judgement, judgeJson } from "../judge.ts";
import { TINY } from "../networks.ts";
import { TINY_NFNET, variantOf } from "../nfnetOptions.ts";

export const metadata: Category = {
  side: "own",
  async run(_, given) {
    // The constructor's arguments in words; those that are no default are said again in `made`.
    const notes = ["stochdepth_rate", "NF_RegNet", "NF_ResNet/ResNet/SkipInit/FixUp"];
    settings(given.config, notes).end();
    if (!isObject(given.side)) throw new FormatError("no side JSON");
    const judged: Record<string, Judgement> = {};
    for (const [name, theirs] of Object.entries(given.side)) {
      if (!isObject(theirs)) throw new FormatError(`${name} is no object`);
      const ours = factsOf(name, theirs);
      for (const [fact, value] of Object.entries(theirs)) {
        judged[`${name}/${fact}`] = Object.hasOwn(ours, fact)
          ? judgeJson(ours[fact]!(value), ordered(fact, value))
          : failed("json", `unknown fact ${fact}`);
      }
    }
    return { outputs: {}, judged };
  },
};

type Json = Readonly<Record<string, unknown>>;
const isObject = (x: unknown): x is Json => typeof x === "object" && x !== null;

/** What we read of a model, whatever its family. */
interface Facts {
  readonly spec: SpecTree;
  readonly names: Readonly<Record<string, string>>;
  readonly dropRate: number;
  readonly blocks: readonly object[];
  readonly stateSpec?: SpecTree;
  readonly stateNames?: Readonly<Record<string, string>>;
  readonly countFlops?: (h: number, w: number) => nn.Flops;
}

/** Our model of an entry such as `NF_ResNet-ResNet50-SE`, and its blocks' settings that no block holds. */
function made(entry: string, numClasses: number): { model: Facts; expansion: readonly number[] } {
  const [family = "", name = "", ...rest] = entry.split("-");
  const variant = name === "Tiny" ? TINY.resnet : name;
  const only = (...known: string[]) => {
    const extra = rest.filter((word) => !known.includes(word));
    if (extra.length) throw new FormatError(`unknown network ${entry}`);
  };
  const has = (word: string) => rest.includes(word);
  switch (family) {
    case "NFNet": {
      only();
      const sizes = variantOf(name === "Tiny" ? TINY_NFNET : name);
      const table: Readonly<Record<string, nn.NFNetVariant>> = nn.nfnetVariants;
      const { depth, expansion } = (typeof sizes === "string" ? table[sizes] : sizes) ?? {};
      const model = nn.nfnet({ variant: sizes!, numClasses });
      const perBlock = depth?.flatMap((n, i) => Array<number>(n).fill(expansion?.[i] ?? 0.5));
      return { model, expansion: perBlock ?? [] };
    }
    case "NF_RegNet": {
      only();
      const sizes = name === "Tiny" ? TINY.nfRegnet : name;
      const model = nn.nfRegnet({ variant: sizes, numClasses, width: 0.75, expansion: 2.25 });
      return { model, expansion: model.blocks.map((_, i) => (i === 0 ? 1 : 2.25)) };
    }
    case "NF_ResNet":
      only("SE");
      return { model: nn.nfResnet({ variant, numClasses, useSe: has("SE") }), expansion: [] };
    case "SkipInit_ResNet":
      only();
      return { model: nn.skipinitResnet({ variant, numClasses }), expansion: [] };
    case "FixUp_ResNet":
      only();
      return { model: nn.fixupResnet({ variant, numClasses }), expansion: [] };
    case "ResNet": {
      only("v1", "v2", "SE");
      const options = { width: 4, preactivation: !has("v1"), useSe: has("SE") };
      return { model: nn.resnet({ variant, numClasses, ...options }), expansion: [] };
    }
    default:
      throw new FormatError(`unknown network ${entry}`);
  }
}

/** Each fact of an entry, made like theirs. */
function factsOf(
  entry: string,
  theirs: Json,
): Readonly<Record<string, (theirs: unknown) => unknown>> {
  const bias = Object.entries(isObject(theirs.params) ? theirs.params : {}).find(
    ([name]) => /^[^/]+\/~\/linear\/b$/.test(name), // squeeze-and-excite has linear layers, too
  )?.[1];
  const [numClasses] = Array.isArray(bias) ? (bias as number[]) : [];
  if (numClasses === undefined) throw new FormatError(`${entry} has no classifier`);
  const { model, expansion } = made(entry, numClasses);
  const params = shapesOf(model.spec, model.names);
  return {
    params: () => params,
    state: () => shapesOf(model.stateSpec ?? [], model.stateNames ?? {}),
    param_count: () => params.reduce((n, [, shape]) => n + shape.reduce((a, b) => a * b, 1), 0),
    drop_rate: () => model.dropRate,
    flops: (sizes) => (isObject(sizes) ? flopsOf(model, sizes) : null),
    blocks: (blocks) =>
      model.blocks.map((block, i) => {
        const all = blockFacts(block, i, model.names, expansion[i]);
        const wanted = Array.isArray(blocks) && isObject(blocks[i]) ? Object.keys(blocks[i]) : [];
        return Object.fromEntries(wanted.filter((k) => k in all).map((k) => [k, all[k]]));
      }),
  };
}

/** Objects whose keys have an order that counts, as lists. */
const ordered = (fact: string, value: unknown): unknown =>
  (fact === "params" || fact === "state") && isObject(value) ? Object.entries(value) : value;

function shapesOf(spec: SpecTree, names: Facts["names"]): [string, readonly number[]][] {
  const found = new Map<string, readonly number[]>();
  const walk = (node: SpecTree, path: string): void => {
    if (isParam(node)) found.set(path, node.shape);
    else
      for (const [key, child] of Object.entries(node) as [string, SpecTree][])
        walk(child, path ? `${path}/${key}` : key);
  };
  walk(spec, "");
  return Object.entries(names).map(([path, name]) => [name, found.get(path) ?? []]);
}
const isParam = (node: SpecTree): node is ParamSpec =>
  "init" in node && typeof node.init === "function";

/** By image size. Where the reference's own count fails (NF-ResNet without SE), there is nothing to compare. */
function flopsOf({ countFlops }: Facts, sizes: Json): Json {
  const entries = Object.entries(sizes).map(([size, theirs]) => {
    if (isObject(theirs) && "error" in theirs) return [size, theirs];
    const count = countFlops?.(Number(size), Number(size));
    return [size, count && { total: count.total, per_part: count.perPart }];
  });
  return Object.fromEntries(entries);
}

/** A block's settings under the reference's names. */
function blockFacts(
  block: object,
  index: number,
  names: Facts["names"],
  expansion: number | undefined,
): Json {
  const config = block as Partial<nn.BlockConfig>;
  const own = Object.entries(names).find(([path]) => path.startsWith(`blocks/${index}/`))?.[1];
  const name = own?.split("/~/")[1]?.split("/")[0];
  const { seHidden = null } = config;
  return {
    index,
    name,
    in_ch: config.inCh,
    out_ch: config.outCh,
    width: config.width,
    groups: config.groups,
    stride: config.stride,
    use_projection: config.useProjection,
    beta: config.beta,
    alpha: config.alpha,
    expansion,
    use_two_convs: config.useTwoConvs,
    use_se: seHidden !== null,
    ...(seHidden !== null && { se_hidden: seHidden }),
    stochdepth_rate: config.stochdepthRate ?? 0,
  };
}
