// A page whose worker trains: the page itself only listens, and says how long its own thread was ever busy at a stretch.

/** Where the test finds what happened. */
export interface Seen {
  /** Milliseconds of each task of this thread that was long (50 ms or more); null where it cannot be observed. */
  longTasks: number[] | null;
  /** `[done, all]` of gpu.compile's progress. */
  progress: [number, number][];
  losses: number[];
  /** Pipelines made after gpu.compile. */
  late: number | null;
  error: string | null;
  done: boolean;
}
declare global {
  var offMain: Seen;
}

const observable = PerformanceObserver.supportedEntryTypes.includes("longtask");
const seen: Seen = {
  longTasks: observable ? [] : null,
  progress: [],
  losses: [],
  late: null,
  error: null,
  done: false,
};
globalThis.offMain = seen;

const end = (): void => {
  seen.done = true;
};
const train = (): void => {
  const worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<Partial<Record<string, unknown>>>) => {
    if ("progress" in data) seen.progress.push(data.progress as [number, number]);
    if ("loss" in data) seen.losses.push(data.loss as number);
    if ("late" in data) seen.late = data.late as number;
    if ("error" in data) seen.error = data.error as string;
    if ("late" in data || "error" in data) setTimeout(end, 100);
  };
  worker.onerror = ({ message }) => Object.assign(seen, { error: message, done: true });
};

// The page's own start is no part of it: observe once it stands.
addEventListener("load", () =>
  setTimeout(() => {
    if (observable)
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) seen.longTasks?.push(duration);
      }).observe({ type: "longtask" });
    train();
  }, 500),
);
