// How far two arrays are apart: relative L2, ULP, largest difference. No verdicts: those are judge.ts.
import type { Expected } from "./goldens.ts";

/** How far one array is from another. NaN where a value is NaN and its counterpart is not. */
export interface Errors {
  /** Largest distance in units in the last place, after rounding both to f32. */
  readonly maxUlp: number;
  /** |a - b| / |b|, L2; 0 if both are 0, Infinity if only b is. */
  readonly relL2: number;
  readonly maxAbs: number;
  /** Elements where one is NaN or infinite and the other is not the same. Not among the figures above. */
  readonly kindMismatches: number;
  readonly elements: number;
}

/** How far `actual` is from `expected`: an array, or one output of a case (against f64 where it has it). */
export function compare(
  actual: ArrayLike<number>,
  expected: ArrayLike<number> | Pick<Expected, "f32" | "f64" | "int" | "k">,
): Errors {
  const theirs = "length" in expected ? expected : (expected.f64 ?? expected.f32 ?? expected.int);
  const k = "length" in expected ? 1 : expected.k;
  const elements = theirs?.length ?? 0;
  if (!theirs || Math.ceil(actual.length / k) !== elements) {
    const nan = Number.NaN;
    return { maxUlp: nan, relL2: nan, maxAbs: nan, kindMismatches: elements, elements };
  }
  const ours = k === 1 ? actual : Array.from({ length: elements }, (_, i) => actual[i * k]!);
  const numbers = theirs as ArrayLike<number>;
  const finite: number[] = [];
  let kindMismatches = 0;
  let maxAbs = 0;
  for (let i = 0; i < elements; i++) {
    const [a, b] = [ours[i]!, Number(numbers[i])];
    if (Number.isFinite(a) && Number.isFinite(b)) {
      finite.push(i);
      maxAbs = Math.max(maxAbs, Math.abs(a - b));
    } else if (!sameKind(a, b)) kindMismatches++;
  }
  const relL2 = relative(ours, numbers, finite);
  return { maxUlp: worstUlp(ours, numbers, finite), relL2, maxAbs, kindMismatches, elements };
}

/** |a - b| / |b| over some elements. */
export function relative(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  at: readonly number[],
): number {
  const difference = Math.sqrt(sumOf(at, (i) => (a[i]! - Number(b[i])) ** 2));
  const norm = Math.sqrt(sumOf(at, (i) => Number(b[i]) ** 2));
  return quotient(difference, norm);
}

/** a / b, where 0 / 0 is 0. */
export const quotient = (a: number, b: number) => (b !== 0 ? a / b : a === 0 ? 0 : a / 0);

/** In doubles, in order. */
export function sumOf(at: readonly number[], term: (index: number) => number): number {
  let sum = 0;
  for (const i of at) sum += term(i);
  return sum;
}

/** Both NaN, or the same infinity. */
export const sameKind = (a: number, b: number) =>
  Object.is(a, b) || (Number.isNaN(a) && Number.isNaN(b));

/** The largest `ulpDistance` over some elements. */
export function worstUlp(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  at: readonly number[],
): number {
  let worst = 0;
  for (const i of at) worst = Math.max(worst, ulpDistance(a[i]!, Number(b[i])));
  return worst;
}

/** The largest difference over some elements. */
export function worstAbs(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  at: readonly number[],
): number {
  let worst = 0;
  for (const i of at) worst = Math.max(worst, Math.abs(a[i]! - Number(b[i])));
  return worst;
}

const bits = new DataView(new ArrayBuffer(4));

/** Steps between two numbers on the line of f32 values; NaN if one is NaN. */
export function ulpDistance(a: number, b: number): number {
  return Math.abs(place(a) - place(b));
}

function place(x: number): number {
  if (Number.isNaN(x)) return Number.NaN;
  bits.setFloat32(0, x);
  const word = bits.getUint32(0);
  return word < 0x80000000 ? word : 0x80000000 - word;
}
