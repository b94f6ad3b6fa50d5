// How many threads a grid-stride loop gets. Not an op.
import type { Run } from "../core/dispatch.ts";

/**
 * Threads for a loop over `items` of a kernel in which thread t takes items t, t + threads, ... A
 * software adapter wants a few threads a core (a workgroup costs it as much as a hundred items), a
 * GPU enough to fill it.
 */
export const loopThreads = (run: Run, items: number): number =>
  Math.min(items, run.adapter.kind === "software" ? 4096 : 262_144);
