// When to look at a result. Waiting is not free: while a promise of Dawn's is pending, Node polls and takes a whole
// core from a software adapter. So a few steps are sent off, the host sleeps for most of the time that they should
// take, and only then asks.

const WINDOW_MS = 300;
const MOST_STEPS = 32;

export interface Pacer {
  /** Counts a step that was sent off; true if it is time to look (always if `now`). */
  look(now: boolean): boolean;
  /** Sleeps, then awaits what `ask` asks for. */
  read<T>(ask: () => Promise<T>): Promise<T>;
}

const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

export function pacer(sleeps: boolean): Pacer {
  let window = 1;
  let sent = 0;
  let perStep = 0;
  let since = performance.now();
  return {
    look(now) {
      sent++;
      return now || sent >= window;
    },
    async read(ask) {
      const left = Math.min(WINDOW_MS, 0.9 * perStep * sent) - (performance.now() - since);
      if (sleeps && left > 5) await sleep(left);
      const asked = performance.now();
      const result = await ask();
      const now = performance.now();
      // An answer that was there at once may have been there for long: then guess again, lower.
      perStep = now - asked < 2 ? 0.7 * perStep : (now - since) / sent;
      window = Math.max(1, Math.min(MOST_STEPS, Math.round(WINDOW_MS / Math.max(perStep, 1))));
      sent = 0;
      since = now;
      return result;
    },
  };
}
