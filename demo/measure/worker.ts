// The engine of the page "Measure": runs the benchmark and the parity suites on the visitor's adapter.
import * as bench from "../../bench/index.ts";
import { version } from "../../package.json";
import * as parity from "../../parity/index.ts";
import { type Gpu, OptionError, openGpu } from "../../src/index.ts";
import { adapterName } from "../common/adapter.ts";
import { answer } from "../common/rpc.ts";
import type { Events, Handlers } from "./messages.ts";

const GOLDENS = new URL("./golden/", import.meta.url);

let opened: Promise<Gpu> | null = null;
let goldens: Promise<parity.Goldens> | null = null;
let running: AbortController | null = null;

const gpu = (): Promise<Gpu> => {
  opened ??= openGpu();
  return opened;
};
const allGoldens = (): Promise<parity.Goldens> => {
  goldens ??= parity.openGoldens(GOLDENS);
  return goldens;
};

function pattern(text: string): RegExp {
  try {
    return new RegExp(text, "i");
  } catch (cause) {
    const why = (cause as Error).message;
    throw new OptionError(`the filter is no regular expression: ${why}`, { cause });
  }
}

/** One run at a time, which `stop` ends. */
async function alone<R>(work: (signal: AbortSignal, gpu: Gpu) => Promise<R>): Promise<R> {
  if (running) throw new OptionError("another run is under way");
  const own = new AbortController();
  running = own;
  try {
    return await work(own.signal, await gpu());
  } finally {
    running = null;
  }
}

const send = answer<Events>({
  async open() {
    const { info } = await gpu();
    const timestamps = info.features.has("timestamp-query");
    return { ...adapterName(info), software: info.kind === "software", timestamps };
  },

  async choice() {
    const counts = new Map<string, number>();
    for (const { category } of (await allGoldens()).cases)
      counts.set(category, (counts.get(category) ?? 0) + 1);
    const names = (quick: boolean) => bench.cases({ quick }).map(({ name }) => name);
    return {
      quick: names(true),
      all: names(false),
      parity: Array.from(counts, ([category, cases]) => ({ category, cases })),
    };
  },

  bench: (filter, quick) =>
    alone(async (signal, gpu) => {
      const cases = bench.cases({ quick, filter: pattern(filter) });
      if (cases.length === 0) throw new OptionError(`no case matches '${filter}'`);
      const report = await bench.report(gpu, cases, {
        ...{ quick, signal },
        versions: { nfgrad: version, browser: navigator.userAgent },
        onProgress: (progress) => send("benching", progress),
        onRows: (rows) => send("rows", rows),
      });
      const plotted = report.rows.some(({ time, flops }) => time && flops > 0);
      const plot = plotted ? bench.rooflineSvg(report) : null;
      return { report, json: bench.toJson(report), plot };
    }),

  parity: (filter) =>
    alone(async (signal, gpu) => {
      const report = await parity.run(gpu, {
        ...{ goldens: await allGoldens(), filter: pattern(filter), signal },
        onProgress: (progress) => send("judging", progress),
      });
      return { report, json: parity.toJson(report), text: parity.summaryText(report) };
    }),

  stop: () => running?.abort(),
} satisfies Handlers);
