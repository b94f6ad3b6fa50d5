// How long a call takes on the device: warm-up, repeats, statistics. Knows no case.
import type { Gpu } from "../src/index.ts";

/** Seconds of one call. */
export interface Stats {
  readonly median: number;
  readonly min: number;
  /** From the first to the third quartile. */
  readonly spread: number;
}

export function statsOf(seconds: readonly number[]): Stats {
  const sorted = [...seconds].sort((a, b) => a - b);
  const at = (part: number) => {
    const place = part * (sorted.length - 1);
    const low = Math.floor(place);
    const [a, b] = [sorted[low]!, sorted[Math.min(low + 1, sorted.length - 1)]!];
    return a + (b - a) * (place - low);
  };
  return { median: at(0.5), min: sorted[0]!, spread: at(0.75) - at(0.25) };
}

/** A call that can be timed again and again. */
export interface Timer {
  readonly repeats: number;
  readonly clock: "timestamp" | "host";
  /** Of one call, as the warm-up found it. */
  readonly seconds: number;
  /** One round: the seconds of one call, the mean over `repeats` calls in one pass. */
  readonly round: () => Promise<number>;
}

const MOST = 5000; // calls in one submit: more cost the host more than they tell

/**
 * Warms a call up and finds how many fill `target` seconds, well past the 0.1 ms steps of a browser's timestamps.
 * Without timestamps the host's clock counts, from the submit to the device's end.
 */
export async function timer(gpu: Gpu, call: () => unknown, target: number): Promise<Timer> {
  let clock: Timer["clock"] = "host";
  const times = async (n: number) => {
    const timing = await gpu.time(() => {
      for (let i = 0; i < n; i++) call();
    });
    clock = timing.clock;
    return timing.seconds / n;
  };
  for (let i = 0; i < 3; i++) call(); // records, checks the recording, replays
  await gpu.sync();
  let repeats = 1;
  let seconds = 0;
  for (;;) {
    seconds = await times(repeats);
    const wanted = Math.max(1, Math.min(MOST, Math.ceil(target / Math.max(seconds, 1e-7))));
    if (wanted <= repeats * 1.5) break;
    repeats = Math.min(wanted, repeats * 10);
  }
  return { repeats, clock, seconds, round: () => times(repeats) };
}
