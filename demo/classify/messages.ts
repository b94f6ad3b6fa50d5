// What the page and its worker say to each other: plain data.
import type { Likely } from "../../src/train/index.ts";

/** A network that is loaded. */
export interface Network {
  readonly variant: string;
  readonly parameters: number;
  readonly classes: number;
  readonly height: number;
  readonly width: number;
  /** Class names are ImageNet's; else they are numbers. */
  readonly imagenet: boolean;
  readonly adapter: string;
  readonly software: boolean;
}

/** What the network sees in a picture. */
export interface Answer {
  readonly top: readonly Likely[];
  /** The picture was dark on light, where light on dark was learnt. */
  readonly inverted: boolean;
  /** From the picture's bytes to the answer. */
  readonly seconds: number;
}

/** One part of the network, timed alone: the median of rounds of `repeats` calls. */
export interface PartTime {
  readonly name: string;
  /** Its result: `12×12×64`, or `10` of the last part. */
  readonly shape: string;
  readonly dispatches: number;
  readonly seconds: number;
  readonly repeats: number;
}

/** All parts, and the network in one go. */
export interface Times {
  readonly parts: readonly PartTime[];
  readonly whole: number;
  readonly rounds: number;
  readonly clock: "timestamp" | "host";
}

export type Events = {
  /** Parameters that are loaded, of all. */
  readonly loading: { readonly done: number; readonly all: number };
  /** Kernels that are compiled, of all. */
  readonly compiling: { readonly done: number; readonly all: number };
  /** The parts that are warmed up, of so many, with the medians so far. */
  readonly timing: { readonly parts: readonly PartTime[]; readonly of: number };
};

export type Handlers = {
  /** Loads a checkpoint. A file that is refused leaves the network before it in place. */
  load(file: File): Promise<Network>;
  look(picture: File): Promise<Answer>;
  /** Times the network part by part with the last picture; null if another call came in between. */
  time(): Promise<Times | null>;
};
