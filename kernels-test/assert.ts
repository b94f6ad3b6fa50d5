// Assertions without a test framework. Every message says what, what was expected, what came.
import { measure, type Numbers } from "./oracle.ts";

export function fail(what: string, expected: unknown, got: unknown): never {
  throw new Error(`${what}: expected ${show(expected)}, got ${show(got)}`);
}
function show(x: unknown): string {
  if (typeof x === "string") return x;
  if (x instanceof Error) return `${x.name}: ${x.message}`;
  if (ArrayBuffer.isView(x) || Array.isArray(x)) {
    const values = Array.from(x as unknown as ArrayLike<unknown>);
    const head = values.slice(0, 16).map((v) => (typeof v === "number" ? String(v) : show(v)));
    return `[${head.join(", ")}${values.length > 16 ? `, ... ${values.length} in all` : ""}]`;
  }
  return x instanceof RegExp || typeof x === "number" ? String(x) : JSON.stringify(x);
}
export function assert(ok: boolean, what: string, got: unknown = ok): asserts ok {
  if (!ok) fail(what, true, got);
}
/** Deep equality of plain values (numbers, arrays, objects); NaN equals NaN. */
export function equal(what: string, got: unknown, expected: unknown): void {
  if (!same(got, expected)) fail(what, expected, got);
}
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const [p, q] = [Object.entries(a), Object.entries(b)];
  return p.length === q.length && p.every(([k, v]) => same(v, (b as Record<string, unknown>)[k]));
}
/** Equal bits; two NaN are equal whatever their payload, and -0 is not 0. */
export function equalBits(what: string, got: Numbers, expected: Numbers): void {
  if (got.length !== expected.length) fail(`${what}: length`, expected.length, got.length);
  for (let i = 0; i < got.length; i++)
    if (!Object.is(got[i], expected[i])) fail(`${what}: element ${i}`, expected[i], got[i]);
}
/** Near in relative L2, and nowhere further off than `max` times the greatest expected value. */
export function near(
  what: string,
  got: Numbers,
  expected: Numbers,
  { tolerance = 1e-6, max = 16 * tolerance }: { tolerance?: number; max?: number } = {},
): void {
  if (got.length !== expected.length) fail(`${what}: length`, expected.length, got.length);
  const e = measure(got, expected);
  const [i] = e.kinds;
  if (i !== undefined) fail(`${what}: element ${i} (of ${e.kinds.length})`, expected[i], got[i]);
  const worst = `; the worst is element ${e.at}: expected ${expected[e.at]}, got ${got[e.at]}`;
  if (e.relL2 > tolerance) fail(what, `relative L2 <= ${tolerance}`, `${e.relL2}${worst}`);
  if (e.max > max) fail(what, `greatest error <= ${max} of the greatest value`, `${e.max}${worst}`);
}
type ErrorClass = abstract new (...args: never[]) => Error;
/** `f`, or what it promises, must throw a `type` whose message matches every pattern. Gives the error back. */
export async function throws(
  what: string,
  f: () => unknown,
  type: ErrorClass,
  ...patterns: RegExp[]
): Promise<Error> {
  let error: unknown;
  try {
    await f();
  } catch (e) {
    error = e;
  }
  if (!(error instanceof Error)) fail(what, `a ${type.name}`, "no error");
  if (!(error instanceof type)) fail(what, `a ${type.name}`, error);
  for (const p of patterns) if (!p.test(error.message)) fail(what, p, error.message);
  return error;
}
