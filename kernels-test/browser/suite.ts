// The whole suite for any place: every framework-free case, the parity cases and trainings, one after another, each
// with what it says and a digest of every byte that it read back. Runs in a page, in a worker and in Node alike.
import { languageFeatures, requestAdapter } from "#platform";
import * as parity from "../../parity/index.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { type Gpu, openGpu } from "../../src/index.ts";
import type { Case } from "../harness.ts";
import { modules } from "./modules.ts";
import { trainings } from "./trainings.ts";

/** What is run. All of it is plain JSON: it goes into a page's address. */
export interface SuiteOptions {
  /** Groups: "cases", "core", "parity", "training". */
  readonly groups: readonly Group[];
  /** Full names; all if left out. */
  readonly only?: readonly string[];
  /** A pattern that full names match. */
  readonly filter?: string;
  /** Where the golden data are: a URL, or a folder in Node. */
  readonly goldens: string;
  readonly seed?: number;
  /** A model of trainings.ts. */
  readonly model?: string;
  readonly steps?: number;
}
export type Group = "cases" | "core" | "parity" | "training";

/** What the runner of a case reports, in this order: `start`, then `end`. */
export type Message =
  | {
      readonly kind: "open";
      readonly adapter: Presented;
      /** `gpu.info` as JSON, by which kernels are chosen. */
      readonly info: Readonly<Record<string, unknown>>;
      readonly names: readonly string[];
    }
  | { readonly kind: "start"; readonly name: string }
  | ({ readonly kind: "end" } & Result)
  | { readonly kind: "done" };

export interface Result {
  readonly name: string;
  /** What went wrong, or null. */
  readonly error: string | null;
  /** SHA-256 over the sorted SHA-256 of all reads, each with its length: what runs at once reads in any order. */
  readonly digest: string;
  readonly reads: number;
  /** Some values of each of the last reads, as f32: how far two drivers are apart. */
  readonly samples: readonly (readonly number[])[];
  /** Kernels that were dispatched, by label: `shaders/conv2d.wgsl:quads`. */
  readonly kernels: readonly string[];
  /** How many pipelines they are. */
  readonly pipelines: number;
  readonly ms: number;
}

/** An adapter as a page sees it; presented.ts shows Node's the same way. */
export interface Presented {
  readonly info: Readonly<Record<string, string | number | boolean>>;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly language: readonly string[];
}

const INFO = [
  ...["vendor", "architecture", "device", "description", "isFallbackAdapter"],
  ...["subgroupMinSize", "subgroupMaxSize"],
] as const;

async function present(): Promise<Presented> {
  const adapter = await requestAdapter();
  if (!adapter) throw new Error("no adapter");
  const values = adapter.info as unknown as Record<string, string>;
  const limits: Record<string, number> = {};
  for (const name in adapter.limits)
    limits[name] = adapter.limits[name as keyof GPUSupportedLimits] as number;
  return {
    info: Object.fromEntries(INFO.filter((n) => n in values).map((n) => [n, values[n]!])),
    features: [...adapter.features],
    limits,
    language: [...languageFeatures()],
  };
}

interface Named {
  readonly name: string;
  run(): Promise<void>;
}

const hex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
const sha256 = (bytes: BufferSource): Promise<ArrayBuffer> =>
  crypto.subtle.digest("SHA-256", bytes);

interface Read {
  readonly digest: string;
  readonly sample: readonly number[];
}
const SAMPLED_READS = 8;
const SAMPLES = 128;
/** Evenly strided values; what is no finite number as f32, such as most u32, is 0. */
function sampleOf(bytes: ArrayBuffer): number[] {
  const all = new Float32Array(bytes, 0, bytes.byteLength >> 2);
  const step = Math.max(1, Math.floor(all.length / SAMPLES));
  const some = Array.from({ length: Math.min(SAMPLES, all.length) }, (_, i) => all[i * step]!);
  return some.map((v) => (Number.isFinite(v) ? v : 0));
}

/** The reads of one case, in the order in which they were asked for, and the kernels that it ran. */
let reads: Promise<Read>[] = [];
let kernels = new Set<Kernel>();

/**
 * From now on every readback of any gpu is kept as a digest, and every dispatch's kernel: below `gpu.read` and
 * `gpu.dispatch`, so that no case can pass it by.
 */
function listen(): void {
  const { read, add } = Recorder.prototype;
  Recorder.prototype.add = function (command) {
    if (command.kind === "dispatch") kernels.add(command.kernel);
    add.call(this, command);
  };
  Recorder.prototype.read = function (ranges) {
    const bytes = read.call(this, ranges);
    reads.push(
      bytes.then(
        async (b) => ({ digest: `${b.byteLength}:${hex(await sha256(b))}`, sample: sampleOf(b) }),
        () => ({ digest: "failed", sample: [] }), // the reader is told; it must fail there as well
      ),
    );
    return bytes;
  };
}

type Heard = Pick<Result, "digest" | "reads" | "samples" | "kernels" | "pipelines">;
async function heard(): Promise<Heard> {
  const all = await Promise.all(reads);
  const text = new TextEncoder().encode(
    all
      .map(({ digest }) => digest)
      .sort()
      .join("\n"),
  );
  const labels = [...new Set([...kernels].map(({ label }) => label))].sort();
  return {
    digest: hex(await sha256(text)),
    reads: all.length,
    samples: all.slice(-SAMPLED_READS).map(({ sample }) => sample),
    kernels: labels,
    pipelines: kernels.size,
  };
}

const plainModules = (group: "cases" | "core", gpu: () => Promise<Gpu>): Named[] =>
  Object.entries(modules[group]).flatMap(([file, { cases = [] }]) =>
    cases.map((c: Case) => ({
      name: `${group}/${file}: ${c.name}`,
      async run() {
        const g = await gpu();
        await c.run(g);
        await g.sync(); // an error that a case left behind is its own
      },
    })),
  );

async function parityCases(goldens: string, gpu: () => Promise<Gpu>): Promise<Named[]> {
  const opened = await parity.openGoldens(goldens);
  return opened.cases.map(({ id }) => ({
    name: `parity: ${id}`,
    async run() {
      const report = await parity.run(await gpu(), {
        goldens: opened,
        filter: new RegExp(`^${id.replace(/[.+]/g, "\\$&")}$`),
      });
      if (report.rows.some(({ pass }) => !pass)) throw new Error(parity.table(report));
    },
  }));
}

/** Runs what is asked for and reports it; a case that fails does not end it. Rejects if there is no adapter. */
export async function runSuite(
  options: SuiteOptions,
  report: (message: Message) => void,
): Promise<void> {
  listen();
  const opened = new Map<boolean, Promise<Gpu>>();
  const gpu = (debug: boolean) => () => {
    let found = opened.get(debug);
    if (!found) {
      found = openGpu({ debug });
      opened.set(debug, found);
    }
    return found;
  };
  const all: Named[] = [];
  for (const group of options.groups) {
    if (group === "cases" || group === "core") all.push(...plainModules(group, gpu(true)));
    else if (group === "training") all.push(...trainings(gpu(false), options));
    else all.push(...(await parityCases(options.goldens, gpu(false))));
  }
  const [only, filter] = [options.only && new Set(options.only), new RegExp(options.filter ?? "")];
  const chosen = all.filter(({ name }) => (!only || only.has(name)) && filter.test(name));
  const { features, ...info } = (await gpu(false)()).info;
  report({
    kind: "open",
    adapter: await present(),
    info: { ...info, features: [...features].sort() },
    names: chosen.map(({ name }) => name),
  });
  for (const { name, run } of chosen) {
    report({ kind: "start", name });
    const start = performance.now();
    reads = [];
    kernels = new Set();
    let error: string | null = null;
    try {
      await run();
    } catch (e) {
      error = e instanceof Error ? `${e.name}: ${e.message}` : String(e);
    }
    const ms = Math.round(performance.now() - start);
    report({ kind: "end", name, error, ...(await heard()), ms });
  }
  for (const g of opened.values()) await (await g).close();
  report({ kind: "done" });
}
