// What the page "Measure" and its worker say to each other: plain data.
import type * as bench from "../../bench/index.ts";
import type * as parity from "../../parity/index.ts";

export interface Adapter {
  readonly name: string;
  /** Empty where the browser does not tell it. */
  readonly driver: string;
  readonly software: boolean;
  /** Times come from the GPU's timestamps; else from the host's clock. */
  readonly timestamps: boolean;
}

/** What there is to run. */
export interface Choice {
  readonly quick: readonly string[];
  readonly all: readonly string[];
  /** Categories of golden cases, and how many of each. */
  readonly parity: readonly { readonly category: string; readonly cases: number }[];
}

export interface Speed {
  readonly report: bench.Report;
  /** The report as `nfgrad bench --json` writes it, and its plot; null: no row to plot. */
  readonly json: string;
  readonly plot: string | null;
}

export interface Exactness {
  readonly report: parity.Report;
  /** As `nfgrad parity --json` writes it. */
  readonly json: string;
  readonly text: string;
}

export type Events = {
  readonly benching: bench.Progress;
  readonly rows: readonly bench.Row[];
  readonly judging: parity.Progress;
};

export type Handlers = {
  open(): Promise<Adapter>;
  choice(): Promise<Choice>;
  /** Runs benchmark cases whose names match. @throws OptionError if none does. */
  bench(filter: string, quick: boolean): Promise<Speed>;
  /** Compares cases whose category or name matches with JAX's numbers. */
  parity(filter: string): Promise<Exactness>;
  /** Ends what runs: it answers with what it has. */
  stop(): void;
};
