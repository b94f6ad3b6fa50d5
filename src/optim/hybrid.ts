// Several optimizers for the parameters of one model, by groups. Their rules are the other files' business.
import type { Tree } from "../core/tree.ts";
import { OptionError } from "../errors.ts";
import { type AdamOptions, adamMethod } from "./adam.ts";
import type { Optimizer } from "./arena.ts";
import type { EmaOptions } from "./ema.ts";
import { type FromageOptions, fromageMethod } from "./fromage.ts";
import { checkRules, type Group, idleGroup, matcher, type Rules } from "./groups.ts";
import { type CommonOptions, type Method, optimizer, type Share } from "./optimizer.ts";
import { type RmspropOptions, rmspropMethod } from "./rmsprop.ts";
import { type SgdAgcOptions, type SgdOptions, sgdMethod } from "./sgdAgc.ts";

interface Options {
  readonly sgd: SgdOptions;
  readonly sgdAgc: SgdAgcOptions;
  readonly adam: AdamOptions;
  readonly adamw: AdamOptions;
  readonly rmsprop: RmspropOptions;
  readonly fromage: FromageOptions;
}
type Own<K extends keyof Options> = Omit<Options[K], keyof CommonOptions | "clipping" | "eps">;

/** Parameters by `match` (left out: all that are left), the optimizer's name, its options, and rules as in a `Group`. */
export type HybridGroup = {
  [K in keyof Options]: { readonly optimizer: K } & Partial<Group> & Own<K>;
}[keyof Options];

export interface HybridOptions {
  readonly ema?: EmaOptions;
}

const METHODS: {
  readonly [K in keyof Options]: readonly [eps: number, make: (o: Options[K]) => Method];
} = {
  sgd: [0, (o) => sgdMethod("hybrid: sgd", o)],
  sgdAgc: [1e-3, (o) => sgdMethod("hybrid: sgdAgc", o)],
  adam: [1e-8, (o) => adamMethod("adam", o)],
  adamw: [1e-8, (o) => adamMethod("adamw", o)],
  rmsprop: [1e-8, (o) => rmspropMethod("hybrid: rmsprop", o)],
  fromage: [1e-5, fromageMethod],
};

/**
 * One optimizer whose groups of parameters are updated by different rules; the first group that matches a parameter
 * decides. `state` holds each rule's buffers, for its parameters by path; `lrScale` gives groups rates of their own.
 * Source: `optim.py: Hybrid`. There a group that leaves an option out takes the first group's default for it, whatever
 * that group's optimizer; here it takes its own optimizer's.
 *
 * @throws OptionError for an unknown optimizer, a parameter that no group matches, a group that is left without one,
 * clipping for another optimizer than sgdAgc, and values out of range; else as `sgd`.
 */
export function hybrid<P>(
  params: P & Tree<P>,
  groups: readonly HybridGroup[],
  { ema }: HybridOptions = {},
): Optimizer<P, Readonly<Record<string, unknown>>> {
  const made = groups.map((group, i) => {
    const { optimizer: name, clipping } = group;
    if (!Object.hasOwn(METHODS, name)) {
      const known = Object.keys(METHODS).join(", ");
      throw new OptionError(`hybrid: groups[${i}].optimizer '${name}' is none of ${known}`);
    }
    if (name !== "sgdAgc" && clipping != null)
      throw new OptionError(`hybrid: groups[${i}] (${name}) has clipping=${clipping}`);
    const [eps, make] = METHODS[name];
    return {
      method: (make as (options: HybridGroup) => Method)(group),
      defaults: { clipping: name === "sgdAgc" ? 0.01 : null, eps },
    };
  });
  return optimizer("hybrid", params, ema, (paths) => {
    const known = new Set(paths);
    let left = paths;
    const shares = groups.map((group, i): Share => {
      const where = `groups[${i}]`;
      const { method, defaults } = made[i]!;
      const rules = { weightDecay: null, lrScale: 1, ...defaults, ...rulesOf(group) };
      checkRules("hybrid", `${where}.`, rules);
      const { match = () => true } = group;
      const test = matcher("hybrid", where, match, known);
      const taken = left.filter(test);
      if (taken.length === 0) idleGroup("hybrid", where, match, paths);
      left = left.filter((path) => !test(path));
      return { method, rules: new Map(taken.map((path) => [path, rules])) };
    });
    if (left.length === 0) return shares;
    const more = left.length > 4 ? `, and ${left.length - 4} more` : "";
    throw new OptionError(`hybrid: no group matches ${left.slice(0, 4).join(", ")}${more}`);
  });
}

/** The rules that a group names. */
function rulesOf({ weightDecay, clipping, eps, lrScale }: HybridGroup): Partial<Rules> {
  return {
    ...(weightDecay !== undefined && { weightDecay }),
    ...(clipping !== undefined && { clipping }),
    ...(eps !== undefined && { eps }),
    ...(lrScale !== undefined && { lrScale }),
  };
}
