// Waiting for a device in a page. Firefox looks for what a device has done ten times a second (its bug 1870699), and
// whenever something is submitted. So while somebody waits, nothing is submitted now and then; no browser minds.
import type { AdapterKind } from "../types.ts";

/** From one nudge to the next passes this part of the time waited so far, so a wait ends at most so much too late. */
const PART = 1 / 16;
const LONGEST_MS = 50;

interface Wait {
  count: number;
  since: number;
}
/** Who is waited for, by its nudge. */
const waits = new Map<() => void, Wait>();

function again(nudge: () => void, wait: Wait): void {
  if (waits.get(nudge) !== wait) return; // nobody waits any more
  nudge();
  setTimeout(again, Math.min(LONGEST_MS, PART * (performance.now() - wait.since)), nudge, wait);
}

/** Awaits `promise`; `nudge` submits nothing to the device that it waits for. */
export async function patiently<T>(
  promise: Promise<T>,
  _kind: AdapterKind,
  nudge: () => void,
): Promise<T> {
  const since = performance.now();
  const found = waits.get(nudge);
  const wait = found ?? { count: 0, since };
  wait.count++;
  wait.since = since;
  nudge(); // what the device has done already is known at once
  if (!found) {
    waits.set(nudge, wait);
    setTimeout(again, 0, nudge, wait);
  }
  try {
    return await promise;
  } finally {
    if (--wait.count === 0) waits.delete(nudge);
  }
}
