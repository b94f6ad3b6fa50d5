// When to look at a result. The device idles while its answer travels and the next step is encoded, so a few steps are
// sent off before one is looked at.

const MOST_STEPS = 32;

export interface Pacer {
  /** Counts a step that was sent off; true if it is time to look (always if `now`). */
  look(now: boolean): boolean;
  /** Awaits what `ask` asks for, and measures the steps so far. */
  read<T>(ask: () => Promise<T>): Promise<T>;
}

/** `windowMs`: about how long to send off steps before one is looked at. */
export function pacer(windowMs = 300): Pacer {
  let window = 1;
  let sent = 0;
  let since = performance.now();
  return {
    look(now) {
      sent++;
      return now || sent >= window;
    },
    async read(ask) {
      const result = await ask();
      const now = performance.now();
      const perStep = Math.max(1, (now - since) / sent);
      window = Math.max(1, Math.min(MOST_STEPS, Math.round(windowMs / perStep)));
      sent = 0;
      since = now;
      return result;
    },
  };
}
