// All cases, in the order in which they run.
import * as activations from "./activations.ts";
import * as block from "./block.ts";
import type { Case } from "./case.ts";
import * as conv2d from "./conv2d.ts";
import * as dispatches from "./dispatches.ts";
import * as excite from "./excite.ts";
import * as inference from "./inference.ts";
import * as losses from "./losses.ts";
import * as matmul from "./matmul.ts";
import * as optimizer from "./optimizer.ts";
import * as pooling from "./pooling.ts";
import * as reductions from "./reductions.ts";
import * as residual from "./residual.ts";
import * as standardize from "./standardize.ts";
import * as standardizeAll from "./standardizeAll.ts";
import * as training from "./training.ts";

export interface CaseFilter {
  /** Only cases whose name matches. */
  readonly filter?: RegExp;
  /** Only those that a run of about a minute has time for. */
  readonly quick?: boolean;
}

const families = [
  matmul,
  conv2d,
  standardize,
  standardizeAll,
  activations,
  excite,
  pooling,
  residual,
  losses,
  reductions,
  optimizer,
  block,
  training,
  inference,
  dispatches,
];

/** The suite, or a part of it. Nothing is prepared yet. */
export function cases({ filter, quick = false }: CaseFilter = {}): Case[] {
  const all = families.flatMap((family) => family.cases());
  return all.filter((c) => (!filter || filter.test(c.name)) && (!quick || c.quick));
}
