// Weight decay and clipping of each parameter in the NFNet experiment, and the settings of both experiments.
import { FormatError, nn, optim } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { settings } from "../config.ts";
import { nfnetExperiment, nfRegnetExperiment } from "../experiments.ts";
import type { Goldens } from "../goldens.ts";
import { difference } from "../json.ts";
import { failed, type Judgement } from "../judge.ts";
import { TINY_NFNET, variantOf } from "../nfnetOptions.ts";

export const groups: Category = {
  side: "own",
  async run(_, given, goldens) {
    settings(given.config).end();
    if (typeof given.side !== "object" || given.side === null)
      throw new FormatError("no side JSON");
    const judged: Record<string, Judgement> = {};
    for (const [key, theirs] of Object.entries(given.side)) {
      if (key === "config") {
        for (const [name, config] of Object.entries(theirs as object)) {
          judged[`config/${name}`] = exact(experiment(name), config);
        }
      } else judged[key] = exact(rulesOf(tinyOr(key, goldens)), theirs);
    }
    return { outputs: {}, judged };
  },
};

function exact(ours: unknown, theirs: unknown): Judgement {
  const note = difference(ours, theirs);
  return { ...failed("json", note ?? ""), pass: note === null, e: note === null ? 0 : 1 };
}

function experiment(name: string): unknown {
  if (name === "nfnets") return nfnetExperiment();
  if (name === "nf_regnets") return nfRegnetExperiment();
  throw new FormatError(`unknown experiment ${name}`);
}

function tinyOr(name: string, goldens: Goldens) {
  if (name !== "Tiny") return variantOf(name);
  const spelled = goldens.cases.find(
    ({ category, config }) => category === "curve" && typeof config.variant === "object",
  );
  return variantOf(spelled?.config.variant ?? TINY_NFNET);
}

/** Haiku name -> what `optim.nfnetGroups` makes of the experiment's optimizer for that parameter. */
function rulesOf(variant: ReturnType<typeof variantOf>) {
  const model = nn.nfnet({ numClasses: 1000, ...(variant === undefined ? {} : { variant }) });
  const made = optim.nfnetGroups(model);
  const { weight_decay, clipping } = nfnetExperiment().experiment_kwargs.config.optimizer.kwargs;
  const rules = Object.entries(model.names).map(([path, name]) => {
    const group = made.find(({ match }) => typeof match === "function" && match(path));
    const { weightDecay = weight_decay, clipping: clip = clipping } = group ?? {};
    return [name, { weight_decay: weightDecay, clipping: clip }];
  });
  return Object.fromEntries(rules);
}
