// What a category of goldens is to the runner: a function from a case to our values. Judges nothing.
import type { Gpu } from "../src/index.ts";
import type { Case, Goldens } from "./goldens.ts";
import type { Actual, Judgement, JudgeOptions } from "./judge.ts";

/** What we computed for one case. */
export interface Outcome {
  /** Our values by the manifest's output names. More than a case lists does no harm. */
  readonly outputs: Readonly<Record<string, Actual>>;
  /** Outputs that are judged by a rule of their category, and rows that the manifest does not list as outputs. */
  readonly judged?: Readonly<Record<string, Judgement>>;
  /** Outputs that the rule gives no verdict on: they have no row. */
  readonly unjudged?: readonly string[];
  /** Parameter gradients, for the summaries in the side JSON. */
  readonly gradients?: Readonly<Record<string, Actual>>;
  /** A relu-like activation, an SE block or a max pool is part of what was run. */
  readonly kinks?: boolean;
  /** Elements of an output that are not judged. */
  readonly skip?: (output: string) => JudgeOptions["skip"];
}

export interface Category {
  /** Keys of a case, beyond those of every case, that this category reads. */
  readonly extra?: readonly string[];
  /** It makes inputs from a formula in the config (`Case.formulas`). */
  readonly formulas?: boolean;
  /** The side JSON holds summaries of gradients (or is judged by the category itself). */
  readonly side?: "gradients" | "own";
  /** @throws FormatError for settings that it does not know; the case then fails. */
  run(gpu: Gpu, given: Case, goldens: Goldens): Promise<Outcome>;
}
