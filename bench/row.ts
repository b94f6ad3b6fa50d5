// What a run tells: a row a case, the report around them, and the numbers that follow from a time. Measures nothing.
import type { AdapterInfo } from "../src/index.ts";
import type { Stats } from "./measure.ts";
import type { Peak } from "./roofline.ts";

/** Equal dispatches of one call: which kernel ran, as which variant, over which grid. */
export interface KernelUse {
  /** `shaders/conv2d.wgsl:quads` */
  readonly kernel: string;
  /** Of several that do the same: `tile 128x128x16 16x16`, the core, its tile as rows x columns x depth, its threads. */
  readonly variant: string | null;
  readonly knobs: Readonly<Record<string, number | boolean | string>>;
  /** Threads of a workgroup, and workgroups. */
  readonly workgroup: readonly number[];
  readonly grid: readonly number[];
  readonly times: number;
}

export interface Row {
  readonly name: string;
  /** What the case belongs to: `conv2d`. */
  readonly family: string;
  readonly adapter: string;
  /** Empty where the platform does not tell it: browsers. */
  readonly driver: string;
  /** The worst error as a part of what is allowed; null where none could be had. */
  readonly error: number | null;
  /** Why there is no time: wrong values, or what was thrown. */
  readonly failed?: string;
  /** Absent where the case failed. */
  readonly time?: Timed;
  /** The op's plain composition, timed in the same rounds: with `against: "reference"`, where the case has one. */
  readonly reference?: Against;
  /** Floating-point operations and bytes of one call; 0 where they mean nothing. */
  readonly flops: number;
  readonly bytes: number;
  /** What one call dispatches. */
  readonly kernels: readonly KernelUse[];
  /** The most device memory that its calls had in use at once: inputs, results, all in between. */
  readonly deviceBytes: number;
}

export interface Timed extends Stats {
  readonly clock: "timestamp" | "host";
  readonly rounds: number;
  /** Calls in each round, and dispatches of one call. */
  readonly repeats: number;
  readonly dispatches: number;
  /** Of the medians; percent of the peak that was measured in the same run. 0 where flops or bytes are. */
  readonly gflops: number;
  readonly percentOfPeak: number;
  readonly gbs: number;
  readonly percentOfCopy: number;
}

/** Seconds of the plain composition, and how many of ours go into one of its. */
export interface Against extends Stats {
  readonly dispatches: number;
  readonly ratio: number;
}

/** The first call of a case that needs pipelines: beyond what its later calls take. */
export interface FirstCall {
  readonly name: string;
  /** Pipelines that no earlier case had made. */
  readonly pipelines: number;
  readonly seconds: number;
}

/** First calls in processes of their own: with the driver's cache empty, and with what that left in it. */
export interface Compiling {
  readonly name: string;
  readonly pipelines: number;
  /** null: the driver left nothing in the folder that it was given, so it may have used an older cache. */
  readonly cold: number | null;
  readonly warm: number;
}

/** How the rows were timed. */
export interface Method {
  readonly quick: boolean;
  readonly rounds: number;
  /** Seconds that a round's repeats fill. */
  readonly target: number;
  /** Cases whose rounds take turns. */
  readonly together: number;
  /** Seconds of the whole run. */
  readonly seconds: number;
}

export interface Report {
  /** Of this report's fields. */
  readonly format: 1;
  /** When the run began, ISO 8601. */
  readonly date: string;
  /** Name and version of what took part, `{ nfgrad: "0.1.0", Node: "22.1.0" }`: told by the caller. */
  readonly versions: Readonly<Record<string, string>>;
  readonly adapter: Pick<
    AdapterInfo,
    "kind" | "vendor" | "architecture" | "device" | "description"
  >;
  readonly peak: Peak;
  readonly method: Method;
  readonly rows: readonly Row[];
  /** Absent in a browser, where no page can start with an empty cache, and where nobody asked for it. */
  readonly compiling?: readonly Compiling[];
}

/** The first word of a case's name: `conv2d`. */
export const familyOf = (name: string): string => name.split(" ")[0]!;

/** What an adapter calls itself, and its driver; Dawn puts both into the description. */
export function adapterOf({ description, vendor, architecture, device }: Report["adapter"]): {
  adapter: string;
  driver: string;
} {
  const at = description.indexOf(": ");
  if (at > 0) return { adapter: description.slice(0, at), driver: description.slice(at + 2) };
  const parts = [vendor, architecture, device].filter(Boolean).join(" ");
  return { adapter: description || parts || "unnamed", driver: "" };
}

/** GFLOP/s and GB/s of a time, and their parts of the peak. */
export function rates(
  { flops, bytes }: Pick<Row, "flops" | "bytes">,
  seconds: number,
  peak: Peak,
): Pick<Timed, "gflops" | "percentOfPeak" | "gbs" | "percentOfCopy"> {
  const gflops = flops / seconds / 1e9;
  const gbs = bytes / seconds / 1e9;
  return {
    gflops,
    percentOfPeak: (100 * gflops) / peak.gflops,
    gbs,
    percentOfCopy: (100 * gbs) / peak.copyGBs,
  };
}
