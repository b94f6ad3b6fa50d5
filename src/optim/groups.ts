// Rules by parameter: which weight decay, clipping and rate each one gets. Knows paths and names, no tensors.
import { OptionError } from "../errors.ts";

/** What one parameter is updated with; null turns a rule off. */
export interface Rules {
  readonly weightDecay: number | null;
  readonly clipping: number | null;
  readonly eps: number;
  /** Multiplies the learning rate. */
  readonly lrScale: number;
}

/**
 * Rules for the parameters that `match` selects by their tree path (`blocks/0/conv1/w`): a pattern, a predicate, or
 * the paths themselves. A rule left out is the optimizer's.
 */
export interface Group extends Partial<Rules> {
  readonly match: RegExp | ((path: string) => boolean) | readonly string[];
}

const show = (match: Group["match"]): string =>
  match instanceof RegExp
    ? `${match}`
    : typeof match === "function"
      ? "its predicate"
      : `[${match}]`;

/** @throws OptionError unless `value` is a number of at least 0 (and finite), or null where that is allowed. */
export function checkRule(op: string, name: string, value: unknown, orNull: boolean): void {
  if (orNull && value === null) return;
  if (typeof value === "number" && value >= 0 && Number.isFinite(value)) return;
  const or = orNull ? " or null" : "";
  throw new OptionError(
    `${op}: ${name} is a finite number of at least 0${or}, got ${String(value)}`,
  );
}

/** @throws OptionError for a rule out of range. */
export function checkRules(op: string, where: string, rules: Partial<Rules>): void {
  for (const name of ["weightDecay", "clipping", "eps", "lrScale"] as const)
    if (rules[name] !== undefined)
      checkRule(op, where + name, rules[name], name === "weightDecay" || name === "clipping");
}

/** Whether a path matches. @throws OptionError for a listed path that is no parameter. */
export function matcher(
  op: string,
  where: string,
  match: Group["match"],
  known: ReadonlySet<string>,
): (path: string) => boolean {
  if (match instanceof RegExp) return (path) => path.search(match) >= 0; // no lastIndex
  if (typeof match === "function") return match;
  for (const path of match)
    if (!known.has(path)) throw new OptionError(`${op}: ${where}: no parameter '${path}'`);
  const listed = new Set(match);
  return (path) => listed.has(path);
}

/** @throws OptionError always: what a group selects in vain. */
export function idleGroup(
  op: string,
  where: string,
  match: Group["match"],
  paths: readonly string[],
): never {
  const some = `${paths.slice(0, 4).join(", ")}${paths.length > 4 ? ", ..." : ""}`;
  throw new OptionError(
    `${op}: ${where} (${show(match)}) selects no parameter that an earlier group left; ` +
      `there are ${paths.length}: ${some}`,
  );
}

/**
 * The rules of each path: those of the first group that matches it, over `base`.
 *
 * @throws OptionError for a value out of range, a group that selects nothing (of those that no earlier group took,
 * too), and a listed path that is no parameter.
 */
export function rulesFor(
  op: string,
  paths: readonly string[],
  base: Rules,
  groups: readonly Group[],
): Rules[] {
  checkRules(op, "", base);
  const known = new Set(paths);
  const tests = groups.map(({ match, ...rules }, i) => {
    checkRules(op, `groups[${i}].`, rules);
    return matcher(op, `groups[${i}]`, match, known);
  });
  const taken = groups.map(() => 0);
  const rules = paths.map((path) => {
    const i = tests.findIndex((test) => test(path));
    if (i < 0) return base;
    taken[i]!++;
    const { match: _, ...own } = groups[i]!;
    return { ...base, ...own };
  });
  const idle = taken.indexOf(0);
  if (idle >= 0) idleGroup(op, `groups[${idle}]`, groups[idle]!.match, paths);
  return rules;
}

/** What the groups need of a model: its tree paths and their Haiku names. */
export interface Named {
  readonly names: Readonly<Record<string, string>>;
}

/** Gains, biases, and batch norm's scale and offset. */
const isGainOrBias = (name: string): boolean =>
  ["scale", "offset", "b"].includes(name) || name.includes("gain") || name.includes("bias");
const isClassifier = (module: string): boolean =>
  module.includes("linear") && !module.includes("squeeze_excite");

const partsOf = (user: string, model: Named, path: string): { module: string; name: string } => {
  const full = model.names[path];
  if (full === undefined)
    throw new OptionError(`${user}: the model has no Haiku name for the parameter '${path}'`);
  const cut = full.lastIndexOf("/");
  return { module: full.slice(0, Math.max(cut, 0)), name: full.slice(cut + 1) };
};

/**
 * The groups of the NF-RegNet experiment, and of any that names no others: gains and biases (also `skip_gain`, and batch
 * normalization's scale and offset) have no weight decay. For any model of `nn`.
 * Source: `experiment.py: Experiment._make_opt`.
 */
export const nfRegnetGroups = (model: Named): Group[] => [
  {
    match: (path) => isGainOrBias(partsOf("nfRegnetGroups", model, path).name),
    weightDecay: null,
  },
];

/**
 * The groups that NFNets are trained with: those of `nfRegnetGroups`, and the classifier's weight is not clipped.
 * Everything else, the classifier's bias and the linear layers of squeeze-and-excite too, is clipped as the optimizer
 * says. Source: `experiment_nfnets.py: Experiment._make_opt`.
 */
export const nfnetGroups = (model: Named): Group[] => [
  { match: (path) => isGainOrBias(partsOf("nfnetGroups", model, path).name), weightDecay: null },
  { match: (path) => isClassifier(partsOf("nfnetGroups", model, path).module), clipping: null },
];
