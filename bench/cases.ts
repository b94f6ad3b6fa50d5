// All cases, in the order in which they run.
import type { Case } from "./case.ts";
import * as conv2d from "./conv2d.ts";
import * as matmul from "./matmul.ts";

export interface CaseFilter {
  /** Only cases whose name matches. */
  readonly filter?: RegExp;
  /** Only those that a run of about a minute has time for. */
  readonly quick?: boolean;
}

/** The suite, or a part of it. Nothing is prepared yet. */
export function cases({ filter, quick = false }: CaseFilter = {}): Case[] {
  const all = [...matmul.cases(), ...conv2d.cases()];
  return all.filter((c) => (!filter || filter.test(c.name)) && (!quick || c.quick));
}
