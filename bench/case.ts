// What a benchmark case is, random inputs, and how values are held to f64. Times nothing; that is measure.ts.
import { type Gpu, type Host, type Shape, ShapeError, type Tensor, tree } from "../src/index.ts";

/** A case on the device, ready to be called again and again. */
export interface Prepared {
  /** One call of what is timed; synchronous, reads nothing back. */
  readonly run: () => unknown;
  /** The same result by the op's plain composition, for `against: "reference"`. Give it where the op is fused. */
  readonly reference?: () => unknown;
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

type Inputs = Readonly<Record<string, Shape>>;
type Named<I, T> = { readonly [K in keyof I]: T };

/** A case of plain function calls: random inputs, recorded, results against f64. */
export interface OpCase<I extends Inputs> extends Omit<Case, "quick" | "prepare"> {
  readonly quick?: boolean;
  /** Names and shapes of what goes in: uniform in [-range, range), range 1 if left out. */
  readonly inputs: I;
  readonly range?: number | { readonly [K in keyof I]?: number };
  readonly apply: (given: Named<I, Tensor>) => Readonly<Record<string, Tensor>>;
  /** The same by plain ops, where `apply` calls a fused one. */
  readonly plain?: ((given: Named<I, Tensor>) => Readonly<Record<string, Tensor>>) | undefined;
  /** For each result of `apply` its element i in f64, by definition: samples are compared. */
  readonly oracle?: (given: Named<I, Float32Array>) => Readonly<Record<string, (i: number) => Sum>>;
  /** Instead, whole results in f64: their relative L2 errors are held to `WHOLE_BOUND`. */
  readonly whole?: (given: Named<I, Float32Array>) => Readonly<Record<string, Float64Array>>;
}

/** How much more a plain composition may be off: it rounds after each step. */
const PLAIN = 16;

export function opCase<const I extends Inputs>(spec: OpCase<I>): Case {
  const { name, flops, bytes, quick = false, inputs, range = 1, oracle, whole } = spec;
  const each = <T>(f: (input: string, shape: Shape) => T) =>
    Object.fromEntries(Object.entries(inputs).map(([k, s]) => [k, f(k, s)])) as Named<I, T>;
  return {
    name,
    flops,
    bytes,
    quick,
    prepare(gpu) {
      const data = each((input, shape) => {
        const by = typeof range === "number" ? range : (range[input] ?? 1);
        return randomData(`${name} ${input}`, sizeOf(shape), by);
      });
      const tensors = each((input, shape) => gpu.tensor(data[input]!, shape));
      const { apply, plain } = spec;
      const record = (f: typeof apply, label = name) =>
        gpu.record(() => f(tensors), { name: label });
      const run = record(apply);
      let reference: typeof run | null = null; // its memory is not the case's: made where somebody wants it
      type Expected = Readonly<Record<string, Float64Array | ((i: number) => Sum)>>;
      const worst = async (call: typeof run, expected: Expected) => {
        const results = await gpu.read<Record<string, Tensor>>(call());
        const names = Object.keys(results);
        if (names.join() !== Object.keys(expected).join())
          throw new ShapeError(`${name}: results ${names}, the oracle's ${Object.keys(expected)}`);
        const parts = names.map((result) => {
          const [actual, should] = [results[result]!.data, expected[result]!];
          if (typeof should !== "function") return relativeL2(actual, should) / WHOLE_BOUND;
          return worstSum(actual, sample(`${name} ${result}`, actual.length, 64), should);
        });
        return Math.max(...parts);
      };
      return {
        run,
        ...(plain && {
          reference() {
            reference ??= record(plain, `${name}, plain`);
            return reference();
          },
        }),
        async verify() {
          const expected = oracle ? oracle(data) : (whole?.(data) ?? {});
          const error = await worst(run, expected);
          if (!plain) return error;
          const once = record(plain, `${name}, plain`);
          const other = await worst(once, expected);
          once.dispose();
          return Math.max(error, other / PLAIN);
        },
        dispose() {
          run.dispose();
          reference?.dispose();
          tree.dispose(tensors);
        },
      };
    },
  };
}

/** Uniform numbers in [-range, range) that a name determines (mulberry32): the same inputs in each run. */
export function randomData(name: string, size: number, range = 1): Float32Array<ArrayBuffer> {
  let state = 0x9e3779b9;
  for (const c of name) state = Math.imul(state ^ c.charCodeAt(0), 0x01000193);
  const data = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    data[i] = (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * range;
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

/** A result in f64 with the size of what it is made of (a sum: of its terms), by which its rounding error is measured. */
export interface Sum {
  readonly value: number;
  readonly magnitude: number;
}

/** The sum of f(0), f(1), ... */
export function sumOf(count: number, f: (i: number) => number): Sum {
  let [value, magnitude] = [0, 0];
  for (let i = 0; i < count; i++) {
    const term = f(i);
    value += term;
    magnitude += Math.abs(term);
  }
  return { value, magnitude };
}

/** 4194304 -> 4M, 4096 -> 4096. */
export const short = (n: number): string => (n % 2 ** 20 === 0 ? `${n / 2 ** 20}M` : String(n));

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

/** How far a result of many sums one after another may be off, in the L2 norm: gradients of F0 are, by 9.2e-6. */
export const WHOLE_BOUND = 2e-5;

/** `|actual - expected| / |expected|`, both as vectors. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [error, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(error / Math.max(size, 1e-60));
}
