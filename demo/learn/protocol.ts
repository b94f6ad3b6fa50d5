// What the page and its worker say to each other: plain data.

/** The two networks: with adaptive gradient clipping, and without any. */
export type Which = "clipped" | "free";
export const WHICH: readonly Which[] = ["clipped", "free"];
export type Both<T> = Readonly<Record<Which, T>>;

/** Who reads a drawing: the clipped network as it is now, or one that was trained before. */
export type Reader = "clipped" | "trained";

export interface Settings {
  readonly lr: number;
  readonly clipping: number;
  /** Images of a step. */
  readonly batch: number;
}

export interface Opened {
  /** The adapter, for people. */
  readonly adapter: string;
  readonly network: string;
  readonly parameters: number;
  /** Names of the layers whose units are counted, in order. */
  readonly layers: readonly string[];
  readonly blocks: number;
  readonly data: DataFacts;
}

export interface DataFacts {
  readonly name: string;
  readonly train: number;
  readonly test: number;
  readonly height: number;
  readonly width: number;
}

/** One step of one network; loss and accuracy of its batch, before the update. */
export interface StepResult {
  readonly loss: number;
  readonly accuracy: number;
}

export interface Progress {
  readonly steps: readonly { readonly step: number; readonly nets: Partial<Both<StepResult>> }[];
  /** Of all steps since the start or the last reset. */
  readonly images: number;
  /** Through training, both networks together, in the last moments. */
  readonly imagesPerSecond: number;
  /** The step at which a network's loss was no longer finite. */
  readonly diverged: Partial<Both<number>>;
}

/** A closer look at one step. */
export interface Insight {
  readonly step: number;
  /** The part of each layer's units whose gradient was clipped, from 0 to 1. */
  readonly clipped: readonly number[];
  /** The mean of the channels' variances: after the stem, then after each block. */
  readonly variance: Partial<Both<readonly number[]>>;
  /** Of each block's residual branch. */
  readonly branch: Partial<Both<readonly number[]>>;
}

export interface Tested {
  readonly step: number;
  readonly count: number;
  /** Parts of the test images that are classified rightly. */
  readonly accuracy: Partial<Both<number>>;
}

export interface Events {
  /** How much of the kernels is compiled, from 0 to 1. */
  readonly compile: number;
  readonly progress: Progress;
  readonly insight: Insight;
  readonly tested: Tested;
  /** Training stopped: the device is gone. `step`: the one that it can go on from. */
  readonly lost: { readonly message: string; readonly step: number };
  /** Training stopped for another reason. */
  readonly failed: { readonly message: string; readonly step: number };
}

/** A drawing: RGBA, row by row. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}
