// From what a step leaves on the host to what the page shows. Pure functions.
import type { AdapterInfo, HostTree } from "../../src/index.ts";
import { classesOf } from "../../src/train/classifier.ts";
import type { Both, Insight, StepResult, Which } from "./protocol.ts";
import { clippedPart, type Outcome } from "./trainee.ts";

/** One step of both networks, read. */
export interface Seen {
  readonly step: number;
  readonly labels: Uint32Array;
  readonly clipping: number;
  readonly nets: readonly (readonly [Which, HostTree<Outcome>])[];
}

export function resultOf({ loss, logits }: HostTree<Outcome>, labels: Uint32Array): StepResult {
  const classes = classesOf(logits.data, logits.data.length / labels.length);
  const right = classes.filter((c, i) => c === labels[i]).length;
  return { loss: loss.data[0]!, accuracy: right / labels.length };
}

/** The closer look of a step that was watched, else null. */
export function insightOf({ step, clipping, nets }: Seen): Insight | null {
  const scalars = (list: readonly { readonly data: ArrayLike<number> }[]) =>
    list.map(({ data }) => data[0]!);
  let clipped: readonly number[] = [];
  const variance: { -readonly [K in Which]?: readonly number[] } = {};
  const branch: Partial<Record<Which, readonly number[]>> = {};
  for (const [which, out] of nets) {
    if (!out.variance || !out.branch) return null;
    variance[which] = scalars(out.variance);
    branch[which] = scalars(out.branch);
    if (out.norms) clipped = out.norms.map(({ g, w }) => clippedPart(g.data, w.data, clipping));
  }
  return nets.length ? { step, clipped, variance, branch } : null;
}

/** Step results by network, without those behind a network's divergence; and where it diverged. */
export function progressOf(seen: readonly Seen[], before: Partial<Both<number>>) {
  const diverged: Partial<Record<Which, number>> = { ...before };
  const steps = seen.map(({ step, labels, nets }) => {
    const results: Partial<Record<Which, StepResult>> = {};
    for (const [which, out] of nets) {
      if (diverged[which] !== undefined) continue;
      const result = resultOf(out, labels);
      if (Number.isFinite(result.loss)) results[which] = result;
      else diverged[which] = step;
    }
    return { step, nets: results };
  });
  return { steps, diverged };
}

/** The adapter for people. */
export function adapterName({ description, vendor, architecture, kind }: AdapterInfo): string {
  const name = description || [vendor, architecture].filter(Boolean).join(" ");
  return `${name || "a GPU without a name"}${kind === "software" ? " (on the CPU)" : ""}`;
}
