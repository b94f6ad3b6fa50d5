// What a benchmark case is, random inputs, and how values are held to f64. Times nothing; that is measure.ts.
import type { Gpu, Host, Shape, Tensor } from "../src/index.ts";

/** A case on the device, ready to be called again and again. */
export interface Prepared {
  /** One call of what is timed; synchronous, reads nothing back. */
  readonly run: () => unknown;
  /** What `run` does besides, to be timed beside it and subtracted: a gradient's forward pass. */
  readonly without?: () => unknown;
  /** The worst error of a result of `run` as a part of what is allowed; above 1 or NaN is wrong. */
  readonly verify: () => Promise<number>;
  readonly dispose: () => void;
}

export interface Case {
  /** `conv2d 1x1 24x24 512>256 forward`. */
  readonly name: string;
  /** Floating-point operations of one call (a multiply-add is two), and bytes that it must at least move. */
  readonly flops: number;
  readonly bytes: number;
  /** Whether `--quick` runs it. */
  readonly quick: boolean;
  readonly prepare: (gpu: Gpu) => Prepared | Promise<Prepared>;
}

/** Uniform numbers in [-1, 1) that a name determines (mulberry32): the same inputs in each run. */
export function randomData(name: string, size: number): Float32Array<ArrayBuffer> {
  let state = 0x9e3779b9;
  for (const c of name) state = Math.imul(state ^ c.charCodeAt(0), 0x01000193);
  const data = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    data[i] = ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  }
  return data;
}

export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/** A random input: on the host for the oracle, on the device for the kernel. */
export function randomInput(gpu: Gpu, name: string, shape: Shape): Host & { tensor: Tensor } {
  const data = randomData(name, sizeOf(shape));
  return { data, shape, tensor: gpu.tensor(data, shape) };
}

/** `count` places in an array of `size`, its ends among them. */
export function sample(name: string, size: number, count: number): number[] {
  if (size <= count) return Array.from({ length: size }, (_, i) => i);
  const inner = randomData(`sample ${name}`, count - 2);
  return [
    0,
    size - 1,
    ...Array.from(inner, (v) => Math.min(size - 1, Math.floor(((v + 1) / 2) * size))),
  ];
}

/** A sum in f64 with the sum of its terms' sizes, which its rounding error is measured by. */
export interface Sum {
  readonly value: number;
  readonly magnitude: number;
}

/**
 * The part of `magnitude` that an f32 sum of that many terms may be off by. The error of a sum of random terms grows
 * like its magnitude times 2^-24; the factor of 8 is for unlucky ones.
 */
export const SUM_BOUND = 2 ** -21;

/** The worst error of sampled sums, as a part of the bound. */
export function worstSum(
  actual: ArrayLike<number>,
  places: readonly number[],
  oracle: (i: number) => Sum,
): number {
  let worst = 0;
  for (const i of places) {
    const { value, magnitude } = oracle(i);
    const part = Math.abs(actual[i]! - value) / (magnitude * SUM_BOUND + 1e-30);
    if (Number.isNaN(part)) return part;
    worst = Math.max(worst, part);
  }
  return worst;
}
