// Runs the suite in a browser's page or in a process, and collects what it reports. A page or process that dies or
// hangs costs the case that it was at: that one fails by name, and the rest goes on in a new one.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { serve } from "../../tools/serve.mjs";
import {
  type Engine,
  environment,
  lavapipeEnvironment,
  openBrowser,
  root,
  swiftshaderEnvironment,
} from "./browsers.ts";
import type { Bundle } from "./bundle.ts";
import type { Message, Presented, Result, SuiteOptions } from "./suite.ts";

export type Driver = "lavapipe" | "swiftshader";
export type Where =
  | { readonly engine: Engine }
  | { readonly driver: Driver; readonly present?: Presented | "default" };

export interface Ran {
  readonly adapter: Presented;
  readonly info: Readonly<Record<string, unknown>>;
  readonly results: ReadonlyMap<string, Result>;
}
export interface RunOptions extends Omit<SuiteOptions, "goldens"> {
  /** Seconds that one case may take. */
  readonly limit?: number;
  readonly onResult?: (result: Result, done: number, all: number) => void;
}

type Heard = Message | { readonly kind: "failed"; readonly error: string };
/** One page or process: `listen` hears its messages, `ended` says why it is no more. */
interface Place {
  readonly ended: Promise<string>;
  close(): Promise<void>;
}
type Start = (options: SuiteOptions, listen: (heard: Heard) => void) => Promise<Place>;

const parse = (line: string): Heard | null =>
  line.startsWith("nfgrad {") ? (JSON.parse(line.slice(7)) as Heard) : null;

const inPage =
  (engine: Engine, url: string): Start =>
  async (options, listen) => {
    const browser = await openBrowser(engine);
    const page = await browser.newPage();
    const ended = new Promise<string>((done) => {
      browser.on("disconnected", () => done("the browser ended"));
      page.on("error", (error) => done(`the page crashed: ${error.message}`));
      page.on("pageerror", (error) => done(`the page threw: ${String(error)}`));
    });
    page.on("console", (line) => {
      const heard = parse(line.text());
      if (heard) listen(heard);
    });
    await page.goto(`${url}#${encodeURIComponent(JSON.stringify(options))}`);
    return { ended, close: () => browser.close() };
  };

const inProcess =
  (child: string, more: Record<string, string>): Start =>
  async (options, listen) => {
    const args = ["--enable-source-maps", child, JSON.stringify(options)];
    const started = spawn(process.execPath, args, {
      cwd: root,
      env: environment({ NFGRAD_ADAPTER: "software", ...more }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [rest, errors] = ["", ""];
    started.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const heard of lines.map(parse)) if (heard) listen(heard);
    });
    started.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    const ended = new Promise<string>((done) => {
      started.on("close", (code, signal) =>
        done(`the process ended (${signal ?? code}) ${errors}`),
      );
    });
    return {
      ended,
      close: async () => {
        started.kill("SIGKILL");
        await ended;
      },
    };
  };

/** One start: until it is done, dies or is too slow. Gives back the case that it was at, and why it ended. */
async function once(
  start: Start,
  options: SuiteOptions,
  limit: number,
  listen: (heard: Heard) => void,
): Promise<{ at: string | null; why: string | null }> {
  let at: string | null = null;
  let timer: NodeJS.Timeout | undefined;
  let stop: (why: string | null) => void = () => {};
  const stopped = new Promise<string | null>((done) => {
    stop = done;
  });
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop(`it took longer than ${limit} s`), 1000 * limit);
  };
  wait();
  const place = await start(options, (heard) => {
    wait();
    if (heard.kind === "start") at = heard.name;
    if (heard.kind === "end") at = null;
    if (heard.kind === "failed") stop(heard.error);
    else if (heard.kind === "done") stop(null);
    else listen(heard);
  });
  const why = await Promise.race([stopped, place.ended]);
  clearTimeout(timer);
  await place.close();
  return { at, why };
}

const NOTHING = { digest: "", reads: 0, samples: [], kernels: [], pipelines: 0, ms: 0 } as const;

/** @throws Error if the suite does not start there: no browser, no adapter. */
async function collect(
  start: Start,
  { limit = 600, onResult, ...options }: Required<Pick<SuiteOptions, "goldens">> & RunOptions,
): Promise<Ran> {
  let opened: Extract<Message, { kind: "open" }> | null = null;
  const results = new Map<string, Result>();
  const end = (result: Result) => {
    results.set(result.name, result);
    onResult?.(result, results.size, opened?.names.length ?? 0);
  };
  let only = options.only;
  for (;;) {
    const { at, why } = await once(start, { ...options, ...(only && { only }) }, limit, (heard) => {
      if (heard.kind === "open") opened ??= heard;
      if (heard.kind === "end") end(heard);
    });
    const first = opened as Extract<Message, { kind: "open" }> | null;
    if (!first) throw new Error(`the suite did not start: ${why}`);
    if (at !== null) end({ ...NOTHING, name: at, error: String(why) });
    else if (why !== null) throw new Error(`the suite ended between two cases: ${why}`);
    only = first.names.filter((name) => !results.has(name));
    if (only.length === 0) return { adapter: first.adapter, info: first.info, results };
    if (why === null) throw new Error(`the suite left out ${only.join(", ")}`);
  }
}

/** Runs the suite at a place. */
export async function runAt(where: Where, made: Bundle, options: RunOptions): Promise<Ran> {
  const golden = join(root, "parity/golden");
  if ("engine" in where) {
    const server = await serve(made.folder, { mounts: { "/golden/": golden } });
    try {
      return await collect(inPage(where.engine, server.url), { ...options, goldens: "golden" });
    } finally {
      await server.close();
    }
  }
  const more = where.driver === "lavapipe" ? lavapipeEnvironment() : swiftshaderEnvironment();
  let present = "";
  if (where.present === "default") present = "default";
  else if (where.present) {
    present = join(made.folder, "presented.json");
    writeFileSync(present, JSON.stringify(where.present));
  }
  const start = inProcess(made.child, { ...more, NFGRAD_PRESENT: present });
  return collect(start, { ...options, goldens: golden });
}
