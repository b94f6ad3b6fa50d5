// Comparing arrays and JSON without a verdict.
import { describe, expect, test } from "vitest";
import { compare, ulpDistance } from "./compare.ts";
import { difference } from "./json.ts";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

test("JSON is compared exactly, real numbers to 1e-12", () => {
  const value = { a: [1, 2.5], b: { c: null, d: "x" } };
  expect(difference(value, structuredClone(value))).toBeNull();
  expect(difference({ a: 0.1 + 0.2 }, { a: 0.3 })).toBeNull();
  expect(difference({ a: 0.3001 }, { a: 0.3 })).toMatch("a: 0.3001, expected 0.3");
  expect(difference({ a: 1 }, { a: 2 })).toMatch("a: 1, expected 2");
  expect(difference({}, { a: 2 })).toMatch("missing");
  expect(difference({ a: 2, b: 1 }, { a: 2 })).toMatch("expected nothing");
  expect(difference({ a: [1] }, { a: [1, 2] })).toMatch("a.1");
  expect(difference({ a: null }, { a: 0 })).toMatch("a: null");
  expect(difference([], {})).toMatch("value");
});

describe("compare", () => {
  test("gives ULP, relative L2 and largest difference, and counts kinds apart", () => {
    const a = Float32Array.of(1, 2, nan, inf);
    const b = Float32Array.of(1 + 2 ** -23, 2, nan, 1);
    const errors = compare(a, b);
    expect(errors).toMatchObject({ maxUlp: 1, maxAbs: 2 ** -23, kindMismatches: 1, elements: 4 });
    expect(errors.relL2).toBeCloseTo(2 ** -23 / Math.sqrt(5), 9);
    expect(compare(a, a).relL2).toBe(0);
  });

  test("takes an output of a case, strided or not", () => {
    const f64 = Float64Array.from({ length: 10 }, (_, i) => Math.sin(i + 1));
    const expected = { f64, f32: null, int: null, k: 1 };
    const strided = {
      ...expected,
      k: 3,
      f64: (expected.f64 as Float64Array).filter((_, i) => i % 3 === 0),
    };
    expect(compare(expected.f64 as Float64Array, strided)).toMatchObject({ relL2: 0, elements: 4 });
    expect(compare([1, 2], expected).relL2).toBeNaN();
  });

  test("counts ULP across zero", () => {
    expect(ulpDistance(0, -0)).toBe(0);
    expect(ulpDistance(2 ** -149, -(2 ** -149))).toBe(2);
    expect(ulpDistance(1, 1 - 2 ** -24)).toBe(1);
    expect(ulpDistance(1, nan)).toBeNaN();
  });
});
