// The judging rule of the goldens (parity/golden/README.md, "Judging a port"): ours against JAX's f32 and f64 values.
// It knows arrays, not cases. Nothing here is a tolerance of our own.
import { quotient, relative, sameKind, sumOf, worstAbs, worstUlp } from "./compare.ts";
import type { Expected, Norms } from "./goldens.ts";
import { difference, leafCount } from "./json.ts";

/** An output of ours: the whole array, in f32 (as doubles only where no f32 existed). */
export interface Actual {
  readonly data: ArrayLike<number>;
  readonly shape: readonly number[];
}

export type Rule = "f64" | "f32" | "samples" | "equal" | "curve" | "json";

/** What the rule says of one output. */
export interface Judgement {
  /** What it was measured against: see `Rule`. */
  readonly rule: Rule;
  readonly pass: boolean;
  /** How many elements the output has, or how many are compared. */
  readonly elements: number;
  /** Our error; for equality, the number of differences. */
  readonly e: number;
  /** JAX's own error in f32; null where there is none to compare. */
  readonly own: number | null;
  /** e / max(own, floor), to be at most 8; null where the rule is another. */
  readonly ratio: number | null;
  /** Largest difference between two elements, against f64 where it is given; null where no numbers are compared. */
  readonly maxAbs: number | null;
  /** |ours - f32| / |f32|, and the largest distance in ULP; null where there are no f32 values. */
  readonly e32: number | null;
  readonly maxUlp: number | null;
  /** Why it fails, or what is special. */
  readonly note: string;
}

export interface JudgeOptions {
  /** The case says that f32 and f64 differ by design: then a large own error means "match f32". */
  readonly byDesign?: boolean;
  /** Elements that are not judged (subnormal inputs of activations). */
  readonly skip?: (index: number) => boolean;
}

export const MAX_RATIO = 8;
/** Relative error allowed where only f32 is to be matched. */
const F32_ONLY = 1e-6;
/** Own error above which a difference by design is not rounding. */
const BY_DESIGN = 1e-3;

/** The smallest own error that is granted: a scalar's natural error is set by what was summed. */
export const floorOf = (elements: number) => (elements >= 16 ? 6e-8 : 5e-6);

/** Judges one output as its manifest entry asks: integers, whole arrays, or every k-th value with norms. */
export function judge(
  actual: Actual | undefined,
  expected: Expected,
  options: JudgeOptions = {},
): Judgement {
  if (!actual) return failed("f64", "missing: this runner gives no such output");
  if (actual.shape.join() !== expected.shape.join()) {
    return failed("f64", `shape [${actual.shape}], expected [${expected.shape}]`);
  }
  const size = expected.shape.reduce((a, b) => a * b, 1);
  if (actual.data.length !== size) {
    return failed("f64", `${actual.data.length} values for shape [${expected.shape}]`);
  }
  if (expected.int) return judgeEqual(actual.data, expected.int);
  if (!expected.strided) return judgeValues(actual.data, expected, options);
  const { k, f32, f64, norms, rel } = expected;
  const summary = {
    k,
    f32: f32 && norms.f32 ? { samples: f32, ...norms.f32 } : null,
    f64: f64 && norms.f64 ? { samples: f64, ...norms.f64 } : null,
    rel,
  };
  return judgeSummary(actual.data, summary, options);
}

/** Integers and booleans: equal. */
export function judgeEqual(ours: ArrayLike<number>, theirs: ArrayLike<number | bigint>): Judgement {
  let different = ours.length === theirs.length ? 0 : Math.abs(ours.length - theirs.length);
  let maxAbs = 0;
  let note = different ? `${ours.length} values, expected ${theirs.length}` : "";
  for (let i = 0; i < Math.min(ours.length, theirs.length); i++) {
    if (ours[i] === Number(theirs[i])) continue;
    if (!note) note = `element ${i} is ${ours[i]}, expected ${theirs[i]}`;
    different++;
    maxAbs = Math.max(maxAbs, Math.abs(ours[i]! - Number(theirs[i])));
  }
  const pass = different === 0;
  return { ...EMPTY, rule: "equal", pass, elements: theirs.length, e: different, maxAbs, note };
}

/** Largest share of pixels that may differ, by one grey level. */
const PIXELS = 0.01;

/** Pictures of `channels` bytes a pixel: at most 1 grey level apart, in at most 1 % of the pixels. */
export function judgePixels(
  ours: ArrayLike<number>,
  theirs: ArrayLike<number | bigint>,
  channels: number,
): Judgement {
  if (ours.length !== theirs.length) {
    return failed("equal", `${ours.length} values, expected ${theirs.length}`);
  }
  const different = new Set<number>();
  let levels = 0;
  for (let i = 0; i < ours.length; i++) {
    const apart = Math.abs(ours[i]! - Number(theirs[i]));
    if (apart === 0) continue;
    different.add(Math.floor(i / channels));
    levels = Math.max(levels, apart); // NaN stays NaN
  }
  const pixels = ours.length / channels;
  const pass = levels <= 1 && different.size <= PIXELS * pixels;
  const note = different.size
    ? `${different.size} of ${pixels} pixels differ, by up to ${levels}`
    : "";
  const elements = ours.length;
  return { ...EMPTY, rule: "equal", pass, elements, e: different.size, maxAbs: levels, note };
}

function judgeValues(
  ours: ArrayLike<number>,
  expected: Expected,
  options: JudgeOptions,
): Judgement {
  const { f32, f64 } = expected;
  const size = ours.length;
  const judged: number[] = [];
  for (let i = 0; i < size; i++) {
    if (options.skip?.(i)) continue;
    if (f32 && !Number.isFinite(f32[i])) {
      if (sameKind(ours[i]!, f32[i]!)) continue;
      return failed("f64", `element ${i} is ${ours[i]}, JAX's f32 is ${f32[i]}`);
    }
    judged.push(i);
  }
  const reference = (f64 ?? f32) as ArrayLike<number>;
  const apart = (a: ArrayLike<number>, b: ArrayLike<number>) => relative(a, b, judged);
  if (judged.length === 0) {
    const note = size === 0 ? "no elements" : "no element is judged";
    return { ...EMPTY, rule: "f64", pass: true, elements: size, note };
  }
  const own = !f64 ? null : f32 ? apart(f32, f64) : expected.rel;
  const found = {
    ...(f32 ? { e32: apart(ours, f32), maxUlp: worstUlp(ours, f32, judged) } : null),
    elements: size,
    maxAbs: worstAbs(ours, reference, judged),
  };
  if (isNear(found) && (!f64 || matchF32(own, options))) {
    return matched(found, own, isZero(f32!, judged));
  }
  return rated("f64", apart(ours, reference), own, found, isZero(reference, judged));
}

/** A summary of an array: every k-th value, and the norms of the whole. */
export interface Summary {
  readonly k: number;
  readonly f32: (Norms & { readonly samples: ArrayLike<number> }) | null;
  readonly f64: (Norms & { readonly samples: ArrayLike<number> }) | null;
  /** JAX's error over the whole array, used where the f32 figures are absent. */
  readonly rel: number | null;
}

/** Judges a whole array of ours by a summary of JAX's: norm, sum and samples together. */
export function judgeSummary(
  ours: ArrayLike<number>,
  { k, f32, f64, rel }: Summary,
  options: JudgeOptions = {},
): Judgement {
  const reference = f64 ?? f32;
  if (!reference) return failed("samples", "the file has neither f32 nor f64 figures");
  const n = reference.samples.length;
  if (n === 0 || (n - 1) * k >= ours.length || (f32 && f32.samples.length !== n)) {
    return failed("samples", `${n} samples at every ${k} of ${ours.length} elements`);
  }
  const mine = summarise(ours, k, n);
  const all = Array.from({ length: n }, (_, i) => i);
  if (f32) {
    const wrong = (["l2", "sum"] as const).find(
      (key) => !Number.isFinite(f32[key]) && !sameKind(mine[key], f32[key]),
    );
    if (wrong) return failed("samples", `${wrong} is ${mine[wrong]}, JAX's f32 is ${f32[wrong]}`);
    const kind = all.find(
      (i) => !Number.isFinite(f32.samples[i]) && !sameKind(mine.samples[i]!, f32.samples[i]!),
    );
    if (kind !== undefined) {
      return failed(
        "samples",
        `sample ${kind} is ${mine.samples[kind]}, JAX's f32 is ${f32.samples[kind]}`,
      );
    }
  }
  const judged = all.filter(
    (i) => !options.skip?.(i * k) && (!f32 || Number.isFinite(f32.samples[i])),
  );
  const apart = (a: Figures, b: Figures) => summaryError(a, b, ours.length, judged, f32 ?? b);
  const own = !f64 ? null : f32 ? apart(f32, f64) : rel;
  const found = {
    ...(f32
      ? { e32: apart(mine, f32), maxUlp: worstUlp(mine.samples, f32.samples, judged) }
      : null),
    elements: ours.length,
    maxAbs: worstAbs(mine.samples, reference.samples, judged),
  };
  if (isNear(found) && (!f64 || matchF32(own, options))) {
    return matched(found, own, f32?.l2 === 0);
  }
  return rated("samples", apart(mine, reference), own, found, reference.l2 === 0);
}

type Figures = Norms & { readonly samples: ArrayLike<number> };

/** The largest of the three relative differences; those whose f32 figure is not finite were compared by kind. */
function summaryError(
  a: Figures,
  b: Figures,
  size: number,
  judged: readonly number[],
  kinds: Norms,
) {
  const difference = Math.sqrt(sumOf(judged, (i) => (a.samples[i]! - b.samples[i]!) ** 2));
  if (!Number.isFinite(kinds.l2)) {
    const norm = Math.sqrt(sumOf(judged, (i) => b.samples[i]! ** 2));
    return quotient(difference, norm);
  }
  if (b.l2 === 0) return quotient(Math.max(difference, a.l2), 0);
  const terms = [
    Math.sqrt(size / b.samples.length) * difference,
    Math.abs(a.l2 - b.l2),
    Number.isFinite(kinds.sum) ? Math.abs(a.sum - b.sum) / Math.sqrt(size) : 0,
  ];
  return Math.max(...terms) / b.l2; // Math.max gives NaN if a term is
}

function summarise(values: ArrayLike<number>, k: number, n: number): Figures {
  let squares = 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    squares += values[i]! * values[i]!;
    sum += values[i]!;
  }
  return {
    l2: Math.sqrt(squares),
    sum,
    samples: Array.from({ length: n }, (_, i) => values[i * k]!),
  };
}

interface Found {
  readonly elements: number;
  readonly maxAbs: number;
  /** How far ours is from JAX's f32 values. */
  readonly e32?: number;
  readonly maxUlp?: number;
}
type Near = Found & { readonly e32: number };
const isNear = (found: Found): found is Near => found.e32 !== undefined;

function rated(rule: Rule, e: number, own: number | null, found: Found, zero: boolean): Judgement {
  const row = { ...EMPTY, ...found, rule, e, own };
  if (zero) {
    const note = e === 0 ? "" : "the reference is exactly 0";
    return { ...row, pass: e === 0, ratio: e === 0 ? 0 : Number.POSITIVE_INFINITY, note };
  }
  if (own === null || !Number.isFinite(own)) {
    return { ...row, pass: false, note: `JAX's own error is ${own}` };
  }
  const ratio = e / Math.max(own, floorOf(found.elements));
  const note = Number.isNaN(e) ? "ours is NaN where a number is expected" : "";
  return { ...row, pass: ratio <= MAX_RATIO, ratio, note };
}

function matched(near: Near, own: number | null, zero: boolean): Judgement {
  const pass = zero ? near.e32 === 0 : near.e32 <= F32_ONLY;
  return { ...EMPTY, ...near, rule: "f32", pass, e: near.e32, own, note: "against f32 alone" };
}

/** JSON values: equal, real numbers to 1e-12. */
export function judgeJson(ours: unknown, theirs: unknown): Judgement {
  const note = difference(ours, theirs);
  const [pass, e, elements] = [note === null, note === null ? 0 : 1, leafCount(theirs)];
  return { ...EMPTY, rule: "json", pass, elements, e, note: note ?? "" };
}

const matchF32 = (own: number | null, { byDesign = false }: JudgeOptions) =>
  byDesign && own !== null && !(own <= BY_DESIGN);

export function failed(rule: Rule, note: string): Judgement {
  return { ...EMPTY, rule, pass: false, e: Number.NaN, note };
}

const EMPTY = { elements: 0, e: 0, own: null, ratio: null, maxAbs: null, e32: null, maxUlp: null };

const isZero = (values: ArrayLike<number>, at: readonly number[]) =>
  at.every((i) => values[i] === 0);
