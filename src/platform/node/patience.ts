// Waiting beside a software adapter. While a promise of Dawn's is pending, npm "webgpu" polls on every turn of the event
// loop: a core that the adapter's own threads need. A short nap on each turn leaves it to them.
import type { AdapterKind } from "../types.ts";

/**
 * How long to sleep after a wait of `t` ms. A turn of the event loop costs the adapter some 0.1 ms, and half a nap is how
 * late the end is seen: together they are least at a nap near sqrt(t / 10). Short waits end at most 1/16 too late.
 */
const napAfter = (t: number): number => Math.min(t / 16, Math.sqrt(t / 10), LONGEST_MS);
const LONGEST_MS = 10;

const bed = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;
let since = 0;
let awake = true;

function nap(): void {
  awake = waits === 0;
  if (awake) return;
  Atomics.wait(bed, 0, 0, napAfter(performance.now() - since));
  setImmediate(nap);
}

/** Awaits `promise`. The event loop goes on meanwhile, beside a software adapter each turn at most 10 ms late. */
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
