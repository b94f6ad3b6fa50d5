// Deterministic host data for cases.
import type { Host } from "../src/index.ts";
import { generator, type Numbers, normals, seedOf, sizeOf } from "./oracle.ts";

/** Host data made when it is first read, and dropped when memory is short: cases are many. */
export class Made<T extends Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>> {
  #seed: number | undefined;
  #memo: WeakRef<T> | undefined;
  constructor(
    readonly shape: readonly number[],
    seed: number | undefined,
    readonly make: (n: number, seed: number) => T,
  ) {
    this.#seed = seed;
  }
  /** The seed if none was given: from the case and the input, so that no two inputs are equal by chance. */
  name(words: string): void {
    this.#seed ??= seedOf(words);
  }
  get data(): T {
    let data = this.#memo?.deref();
    if (!data) {
      this.#seed ??= seedOf(this.shape);
      data = this.make(sizeOf(this.shape), this.#seed);
      this.#memo = new WeakRef(data);
    }
    return data;
  }
}
/** Normal values times `scale`; always the same for one seed (default: from the names of case and input). */
export const rand = (shape: readonly number[], seed?: number, scale = 1): Host =>
  new Made(shape, seed, (n, s) => Float32Array.from(normals(n, s), (v) => v * scale));
/** Uniform values in [low, high). */
export const uniform = (shape: readonly number[], low = 0, high = 1, seed?: number): Host =>
  new Made(shape, seed, (n, s) => {
    const random = generator(s);
    return Float32Array.from({ length: n }, () => low + (high - low) * random());
  });
/** Integers in [0, k), as u32: labels. */
export const ints = (shape: readonly number[], k: number, seed?: number): Host =>
  new Made(shape, seed, (n, s) => {
    const random = generator(s);
    return Uint32Array.from({ length: n }, () => Math.floor(random() * k));
  });
/** Given values as f32. */
export const values = (data: Numbers, shape: readonly number[] = [data.length]): Host => ({
  data: Float32Array.from(data),
  shape,
});
/** Given values as u32. */
export const uints = (data: Numbers, shape: readonly number[] = [data.length]): Host => ({
  data: Uint32Array.from(data),
  shape,
});
