// What can be asked of a device: the entries of the one ordered list. Types alone; recorder.ts keeps and runs it.
import type { Image } from "./images.ts";
import type { Kernel } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";

export interface Dispatch {
  readonly kind: "dispatch";
  readonly kernel: Kernel;
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
  readonly label: string;
  /** The values of its Params, and the buffers from outside the recording that it uses: compared between calls. */
  readonly params: string;
  readonly captured: string;
  /** What it reads and writes: tokens, each for one allocation. */
  readonly reads: readonly object[];
  readonly writes: readonly object[];
}
export interface Copy {
  readonly kind: "copy";
  readonly from: GPUBuffer;
  readonly fromOffset: number;
  readonly to: GPUBuffer;
  readonly toOffset: number;
  readonly bytes: number;
  readonly captured: string;
  readonly reads: readonly object[];
  readonly writes: readonly object[];
}
/** Fills an image with a tensor. */
export interface Draw {
  readonly kind: "draw";
  readonly from: GPUBuffer;
  readonly fromOffset: number;
  readonly image: Image;
  /** Quads of 4 elements; the last may be partly behind the tensor's end. */
  readonly quads: number;
  readonly captured: string;
  readonly reads: readonly object[];
}
export interface Clear {
  readonly kind: "clear";
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
  readonly captured: string;
  readonly writes: readonly object[];
}
/** Fills a whole buffer with NaN before it is used, in debug mode. */
export interface Poison {
  readonly kind: "poison";
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}
export interface Upload {
  readonly kind: "upload";
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly data: ArrayBufferView<ArrayBuffer>;
}
export type Command = Dispatch | Copy | Draw | Clear | Poison | Upload;

/** What was asked of the device since the start. */
export interface Counts {
  dispatches: number;
  copies: number;
  uploads: number;
  submits: number;
  /** Compiled kernels and bind groups made; both stand still in steady state. */
  pipelines: number;
  bindGroups: number;
}
