// The judge itself: right values pass, and every kind of wrong value fails.
import { describe, expect, test } from "vitest";
import type { Expected } from "./goldens.ts";
import { floorOf, judge, judgeEqual, judgeSummary } from "./judge.ts";
import {
  GRAD_NORM_FLOOR,
  judgedSteps,
  judgeFirstNaN,
  judgeSteps,
  LOSS_FLOOR,
} from "./judgeCurve.ts";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

/** An output of `n` elements whose JAX error is about `own`, and f64 values. */
function output(n: number, own: number, change: Partial<Expected> = {}): Expected {
  const f64 = Float64Array.from({ length: n }, (_, i) => Math.sin(i + 1));
  const f32 = Float32Array.from(f64, (v, i) => v * (1 + (i % 2 ? own : -own)));
  return { shape: [n], strided: false, k: 1, f32, f64, int: null, norms, rel: own, ...change };
}
const norms = { f32: null, f64: null };

/** f64 values off by a relative `error`. */
const off = (expected: Expected, error: number) => ({
  shape: expected.shape,
  data: Float64Array.from(expected.f64 as Float64Array, (v) => v * (1 + error)),
});

describe("values against f64", () => {
  test("JAX's own values pass with ratio 1", () => {
    const expected = output(100, 1e-6);
    const row = judge({ data: expected.f32 as Float32Array, shape: [100] }, expected);
    expect(row).toMatchObject({ pass: true, rule: "f64", ratio: 1, e32: 0, maxUlp: 0 });
    expect(row.own).toBeCloseTo(1e-6, 7);
  });

  test("eight times JAX's error passes, nine times fails", () => {
    const expected = output(100, 1e-6);
    expect(judge(off(expected, 7.9e-6), expected).pass).toBe(true);
    expect(judge(off(expected, 9e-6), expected).pass).toBe(false);
  });

  test("the floor is 6e-8 from 16 elements on, 5e-6 below", () => {
    expect([floorOf(15), floorOf(16)]).toEqual([5e-6, 6e-8]);
    const [small, large] = [output(15, 0), output(16, 0)];
    expect(judge(off(small, 3.9e-5), small).pass).toBe(true);
    expect(judge(off(small, 4.1e-5), small).pass).toBe(false);
    expect(judge(off(large, 3e-7), large).pass).toBe(true);
    expect(judge(off(large, 1e-6), large).pass).toBe(false);
  });

  test("one wrong element of many fails", () => {
    const expected = output(1000, 1e-7);
    const ours = off(expected, 0);
    ours.data[500] = (ours.data[500] as number) + 1e-3;
    expect(judge(ours, expected).pass).toBe(false);
  });

  test.each([nan, inf, -inf])("%s where a number is expected fails", (value) => {
    const expected = output(100, 1e-6);
    const ours = off(expected, 0);
    ours.data[7] = value;
    expect(judge(ours, expected).pass).toBe(false);
  });

  test("a missing output, another shape or size fail", () => {
    const expected = output(6, 1e-6);
    const { data } = off(expected, 0);
    expect(judge(undefined, expected)).toMatchObject({
      pass: false,
      note: expect.stringMatching(/missing/),
    });
    expect(judge({ data, shape: [2, 3] }, expected)).toMatchObject({
      pass: false,
      note: expect.stringMatching(/shape/),
    });
    expect(judge({ data: data.slice(1), shape: [6] }, expected).pass).toBe(false);
    expect(judge({ data, shape: [6] }, expected).pass).toBe(true);
  });

  test("where f32 is not finite, ours is of the same kind and the rest is judged", () => {
    const f32 = Float32Array.of(nan, inf, -inf, 1, 2);
    const f64 = Float64Array.of(nan, inf, 3, 1, 2);
    const expected: Expected = { ...output(5, 0), f32, f64 };
    const judged = (...data: number[]) => judge({ data, shape: [5] }, expected);
    expect(judged(nan, inf, -inf, 1, 2).pass).toBe(true);
    expect(judged(0, inf, -inf, 1, 2).pass).toBe(false);
    expect(judged(nan, -inf, -inf, 1, 2).pass).toBe(false);
    expect(judged(nan, inf, 3, 1, 2).pass).toBe(false);
    expect(judged(nan, inf, -inf, 1.1, 2).pass).toBe(false);
    expect(judged(nan, inf, -inf, nan, 2).pass).toBe(false);
  });

  test("without a judged element the shape and the kinds are what counts", () => {
    const expected: Expected = {
      ...output(2, 0),
      f32: Float32Array.of(nan, inf),
      f64: Float64Array.of(nan, inf),
    };
    expect(judge({ data: [nan, inf], shape: [2] }, expected).pass).toBe(true);
    expect(judge({ data: [nan, nan], shape: [2] }, expected).pass).toBe(false);
    expect(judge({ data: [nan, inf], shape: [2, 1] }, expected).pass).toBe(false);
  });

  test("a reference of norm 0 wants exactly 0", () => {
    const zero = { f32: new Float32Array(20), f64: new Float64Array(20) };
    const expected: Expected = { ...output(20, 0), ...zero };
    const ours = new Float32Array(20);
    expect(judge({ data: ours, shape: [20] }, expected)).toMatchObject({ pass: true, ratio: 0 });
    ours[3] = 1e-30;
    expect(judge({ data: ours, shape: [20] }, expected).pass).toBe(false);
    ours[3] = nan;
    expect(judge({ data: ours, shape: [20] }, expected).pass).toBe(false);
  });

  test("skipped elements are not judged, the others are", () => {
    const expected = output(20, 1e-7);
    const ours = off(expected, 0);
    ours.data[4] = 99;
    expect(judge(ours, expected, { skip: (i) => i === 4 }).pass).toBe(true);
    expect(judge(ours, expected, { skip: (i) => i === 5 }).pass).toBe(false);
  });

  test("with f64 alone, the error that the manifest gives is JAX's", () => {
    const expected = output(100, 1e-6, { f32: null });
    expect(judge(off(expected, 7e-6), expected).pass).toBe(true);
    expect(judge(off(expected, 9e-6), expected).pass).toBe(false);
    expect(judge(off(expected, 0), { ...expected, rel: null }).pass).toBe(false);
  });
});

describe("values against f32", () => {
  test("where only f32 is given, 1e-6 is allowed", () => {
    const expected = output(100, 0, { f64: null });
    const ours = (error: number) => ({
      data: Float64Array.from(expected.f32 as Float32Array, (v) => v * (1 + error)),
      shape: [100],
    });
    expect(judge(ours(9e-7), expected)).toMatchObject({ pass: true, rule: "f32", ratio: null });
    expect(judge(ours(1.1e-6), expected).pass).toBe(false);
    expect(judge(ours(nan), expected).pass).toBe(false);
  });

  test("a difference by design asks for f32, and only where it is large or not finite", () => {
    const expected = output(100, 0.5);
    const theirs = { data: expected.f32 as Float32Array, shape: [100] };
    const right = off(expected, 0);
    expect(judge(theirs, expected, { byDesign: true })).toMatchObject({ pass: true, rule: "f32" });
    expect(judge(right, expected, { byDesign: true }).pass).toBe(false);
    expect(judge(right, expected).pass).toBe(true);
    const small = output(100, 1e-6);
    expect(judge(off(small, 2e-6), small, { byDesign: true })).toMatchObject({ rule: "f64" });
    const zero = { ...output(4, 0), f32: new Float32Array(4) };
    expect(judge({ data: [0, 0, 0, 0], shape: [4] }, zero, { byDesign: true }).pass).toBe(true);
    expect(judge({ data: [0, 1e-30, 0, 0], shape: [4] }, zero, { byDesign: true }).pass).toBe(
      false,
    );
  });
});

test("integers and booleans are equal or fail", () => {
  const int = Int32Array.of(-5, 0, 7);
  const expected: Expected = { ...output(3, 0), f32: null, f64: null, int };
  expect(judge({ data: Int32Array.of(-5, 0, 7), shape: [3] }, expected).pass).toBe(true);
  expect(judge({ data: Int32Array.of(-5, 1, 7), shape: [3] }, expected)).toMatchObject({
    pass: false,
    e: 1,
    note: "element 1 is 1, expected 0",
  });
  expect(judge({ data: Uint32Array.of(-5, 0, 7), shape: [3] }, expected).pass).toBe(false);
  expect(judgeEqual([1, 2], [1, 2, 3]).pass).toBe(false);
});

describe("strided outputs and gradient summaries", () => {
  const k = 7;
  const whole = output(1000, 1e-6);
  const figures = (values: ArrayLike<number>) => ({
    l2: Math.hypot(...Array.from(values)),
    sum: Array.from(values).reduce((a, b) => a + b, 0),
    samples: Array.from(values).filter((_, i) => i % k === 0),
  });
  const f64 = figures(whole.f64 as Float64Array);
  const f32 = figures(whole.f32 as Float32Array);
  const summary = { k, f32, f64, rel: 1e-6 };
  const ours = off(whole, 0).data;
  const changed = (i: number, by: number) => ours.map((v, j) => (i === j ? v + by : v));

  test("the right array passes, also as a strided output", () => {
    expect(judgeSummary(ours, summary)).toMatchObject({ pass: true, rule: "samples" });
    expect(judgeSummary(whole.f32 as Float32Array, summary)).toMatchObject({ ratio: 1, maxUlp: 0 });
    const strided: Expected = {
      ...whole,
      strided: true,
      k,
      f32: Float32Array.from(f32.samples),
      f64: Float64Array.from(f64.samples),
      norms: { f32, f64 },
    };
    expect(judge({ data: ours, shape: [1000] }, strided).pass).toBe(true);
    expect(judge({ data: changed(1, 0.01), shape: [1000] }, strided).pass).toBe(false);
  });

  test("a wrong sample fails, and so does an element between samples, by norm or sum", () => {
    expect(judgeSummary(changed(14, 1e-3), summary).pass).toBe(false);
    expect(judgeSummary(changed(15, 1e-2), summary).pass).toBe(false);
    const swapped = ours.slice();
    swapped[15] = -(swapped[15] as number); // same norm, another sum
    expect(judgeSummary(swapped, summary).pass).toBe(false);
    expect(judgeSummary(changed(15, nan), summary).pass).toBe(false);
  });

  test("without f32 figures JAX's error is the given one", () => {
    expect(judgeSummary(ours, { ...summary, f32: null })).toMatchObject({ pass: true, own: 1e-6 });
    expect(judgeSummary(ours, { ...summary, f32: null, rel: null }).pass).toBe(false);
  });

  test("norms that are not finite want the same kind", () => {
    const bad = { l2: nan, sum: nan, samples: f32.samples.map(() => nan) };
    const parted = { k, f32: bad, f64: bad, rel: nan };
    expect(judgeSummary(ours, parted).pass).toBe(false);
    expect(
      judgeSummary(
        ours.map(() => nan),
        parted,
      ).pass,
    ).toBe(true);
  });

  test("a norm of 0 wants exactly 0, samples outside the array fail", () => {
    const zeros = { l2: 0, sum: 0, samples: f64.samples.map(() => 0) };
    const zero = { k, f32: zeros, f64: zeros, rel: 0 };
    expect(judgeSummary(new Float32Array(1000), zero).pass).toBe(true);
    expect(judgeSummary(new Float32Array(1000).fill(1e-20, 1, 2), zero).pass).toBe(false);
    expect(judgeSummary(ours.slice(0, 900), summary).pass).toBe(false);
  });
});

describe("curves", () => {
  const f64 = [2, 1.5, 1.2, 1.1, 1];
  const f32 = [2, 1.5 * (1 + 1e-6), 1.2, 1.1 * (1 + 2e-5), 1];
  const series = { f32, f64 };
  test("steps are judged until JAX's runs part or one is NaN", () => {
    expect(judgedSteps(series)).toBe(3);
    expect(judgedSteps({ f32: [1, nan, 1], f64: [1, 1, 1] })).toBe(1);
    expect(judgedSteps({ f32: f64, f64 })).toBe(5);
  });

  test("each step may be off by 8 times JAX's running error or the floor", () => {
    const at = (step: number, error: number) =>
      f64.map((v, t) => (t === step ? v * (1 + error) : v));
    expect(judgeSteps(at(0, 7e-6), series, 3, LOSS_FLOOR).pass).toBe(true);
    expect(judgeSteps(at(0, 9e-6), series, 3, LOSS_FLOOR).pass).toBe(false);
    expect(judgeSteps(at(0, 3e-5), series, 3, GRAD_NORM_FLOOR).pass).toBe(true);
    expect(judgeSteps(at(2, 9e-6), series, 3, LOSS_FLOOR)).toMatchObject({
      pass: false,
      note: /step 2/,
    });
    expect(judgeSteps(at(3, 1), series, 3, LOSS_FLOOR).pass).toBe(true);
    expect(judgeSteps(at(2, nan), series, 3, LOSS_FLOOR).pass).toBe(false);
    expect(judgeSteps([2, 1.5], series, 3, LOSS_FLOOR).pass).toBe(false);
  });

  test("NaN comes within two steps of JAX's", () => {
    expect(judgeFirstNaN([1, 1, nan, nan], 4).pass).toBe(true);
    expect(judgeFirstNaN([1, 1, nan, nan], 5).pass).toBe(false);
    expect(judgeFirstNaN([1, 1, 1], 1).pass).toBe(false);
  });
});
