// Waiting beside a software adapter. While a promise of Dawn's is pending, npm "webgpu" polls on every turn of the event
// loop: a core that the adapter's own threads need. A short nap on each turn leaves it to them.
import type { AdapterKind } from "../types.ts";

/** A nap is this part of the time waited so far, so a wait ends at most so much too late. */
const PART = 1 / 16;
const LONGEST_MS = 2;

const bed = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;
let since = 0;
let awake = true;

function nap(): void {
  awake = waits === 0;
  if (awake) return;
  Atomics.wait(bed, 0, 0, Math.min(LONGEST_MS, PART * (performance.now() - since)));
  setImmediate(nap);
}

/** Awaits `promise`. The event loop goes on meanwhile, beside a software adapter each turn at most two milliseconds late. */
export async function patiently<T>(
  promise: Promise<T>,
  kind: AdapterKind,
  _nudge?: () => void,
): Promise<T> {
  if (kind === "hardware") return promise;
  since = performance.now();
  waits++;
  if (awake) setImmediate(nap);
  awake = false;
  try {
    return await promise;
  } finally {
    waits--;
  }
}
