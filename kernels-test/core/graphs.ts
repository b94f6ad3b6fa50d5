// Cases of random programs: shared values, views, scopes, remat, stopped gradients and compositions in any order. The
// gradient of each is held against differences of the same program in f64, eager against replayed, bit for bit.
import { reshapeView } from "../../src/core/op.ts";
import { type Gpu, grad, remat, stopGradient, type Tensor, tree } from "../../src/index.ts";
import { type Case, equal, equalBits, fail } from "../harness.ts";
import { directional, dot, generator, norm, normals, seedOf } from "../oracle.ts";
import { f32, flat, params } from "./net.ts";
import { add, mul, relu, scale, squareMul, sum } from "./toy.ts";

type Kind = "add" | "mul" | "scale" | "relu" | "squareMul" | "view" | "stop" | "scope" | "remat";
interface Step {
  readonly kind: Kind;
  /** Places in the list of values so far. */
  readonly a: number;
  readonly b: number;
  readonly by: number;
  /** Of a scope or remat: steps on a list of its own, which begins with all values so far. */
  readonly inner: readonly Step[];
}
const N = 5;
const LEAVES = 3;
const kinds: readonly Kind[] = [
  "add",
  "add",
  "mul",
  "scale",
  "relu",
  "squareMul",
  "view",
  "stop",
  "scope",
  "remat",
];

/** `count` steps on a list of `have` values; blocks nest twice. */
function program(random: () => number, have: number, count: number, depth = 0): Step[] {
  const pick = (n: number) => Math.floor(random() * n);
  return Array.from({ length: count }, (_, i) => {
    const kind = kinds[pick(depth < 2 ? kinds.length : kinds.length - 2)]!;
    const now = have + i;
    const near = () => (random() < 0.6 ? now - 1 - pick(Math.min(3, now)) : pick(now));
    const block = kind === "scope" || kind === "remat";
    return {
      kind,
      a: near(),
      b: near(),
      by: random() * 2 - 1,
      inner: block ? program(random, now, 2 + pick(4), depth + 1) : [],
    };
  });
}

interface Algebra<T> {
  add(a: T, b: T): T;
  mul(a: T, b: T): T;
  scale(a: T, by: number): T;
  relu(a: T): T;
  squareMul(a: T, b: T): T;
  view(a: T): T;
  stop(a: T): T;
  scope(f: () => T): T;
  remat(f: (...list: T[]) => T, list: T[]): T;
}
function run<T>(m: Algebra<T>, steps: readonly Step[], values: readonly T[]): T {
  const list = [...values];
  for (const { kind, a, b, by, inner } of steps) {
    const [p, q] = [list[a]!, list[b]!];
    const block = (...args: T[]): T => run(m, inner, args);
    if (kind === "add") list.push(m.scale(m.add(p, q), 0.5));
    else if (kind === "mul") list.push(m.mul(p, q));
    else if (kind === "scale") list.push(m.scale(p, by));
    else if (kind === "squareMul") list.push(m.squareMul(p, q));
    else if (kind === "scope") list.push(m.scope(() => block(...list)));
    else if (kind === "remat") list.push(m.remat(block, list));
    else list.push(m[kind](p));
  }
  return list.slice(-3).reduce((p, q) => m.add(p, q)); // the leaves among them, in a short block
}

const device = (gpu: Gpu): Algebra<Tensor> => ({
  add,
  mul,
  scale: (a, by) => scale(a, { by }),
  relu: (a) => relu(a, { gain: 1 }),
  squareMul,
  view: (a) => reshapeView(reshapeView(a, [N, 1]), [N]),
  stop: stopGradient,
  scope: (f) => gpu.scope(f),
  remat: (f, list) => remat(f)(...list),
});
/** In f64. A stopped value is a constant: the differences must not move it, so it is taken from a list of the first run. */
function host(stops: number[][], at: { i: number }): Algebra<readonly number[]> {
  const zip = (a: readonly number[], b: readonly number[], f: (p: number, q: number) => number) =>
    a.map((v, i) => f(v, b[i]!));
  return {
    add: (a, b) => zip(a, b, (p, q) => p + q),
    mul: (a, b) => zip(a, b, (p, q) => p * q),
    scale: (a, by) => a.map((v) => v * Math.fround(by)),
    relu: (a) => a.map((v) => Math.max(v, 0)),
    squareMul: (a, b) => zip(a, b, (p, q) => p * p * q),
    view: (a) => a,
    stop(a) {
      const i = at.i++;
      stops[i] ??= [...a];
      return stops[i]!;
    },
    scope: (f) => f(),
    remat: (f, list) => f(...list),
  };
}

async function judge(gpu: Gpu, seed: number): Promise<void> {
  const random = generator(seedOf("graph", seed));
  const steps = program(random, LEAVES, 12 + (seed % 20));
  const start = Array.from({ length: LEAVES }, (_, i) => f32(...normals(N, seed * 7 + i)));
  const p = params(
    gpu,
    Object.fromEntries(start.map((data, i) => [`p${i}`, { data, shape: [N] }])),
  ) as Record<string, Tensor>;
  const m = device(gpu);
  const loss = (q: Record<string, Tensor>) => {
    const leaves = Object.values(q);
    return sum(
      add(
        run(m, steps, leaves),
        leaves.reduce((a, b) => add(a, b)),
      ),
    );
  };

  const stops: number[][] = [];
  const f64Loss = (x: Float64Array): number => {
    const values = Array.from({ length: LEAVES }, (_, i) => [...x.slice(i * N, (i + 1) * N)]);
    const out = run(host(stops, { i: 0 }), steps, values);
    return out.reduce((s, v) => s + v, 0) + values.flat().reduce((s, v) => s + v, 0);
  };
  const x = Float64Array.from(start.flatMap((v) => [...v]));
  f64Loss(x); // fixes what is stopped

  const live = gpu.memory().live;
  const eager = gpu.scope(() => grad(loss)(p));
  const g = await flat(eager);
  tree.dispose(eager);
  equal(`graph ${seed}: live`, gpu.memory().live, live);
  for (let k = 0; k < 2; k++) {
    const v = normals(x.length, seed + 100 * k);
    const [fd, ours] = [directional(f64Loss, x, v), dot(g, v)];
    const size = Math.max(Math.abs(fd), norm(g) * norm(v) * 0.1);
    if (!(Math.abs(fd - ours) <= 1e-4 * size)) fail(`graph ${seed}, direction ${k}`, fd, ours);
  }
  const recorded = gpu.record(() => grad(loss)(p));
  for (let call = 0; call < 3; call++)
    equalBits(`graph ${seed}, call ${call}`, await flat(recorded()), g);
  recorded.dispose();
  equal(`graph ${seed}: live after the recording`, gpu.memory().live, live);
  tree.dispose(p);
}

export const cases: readonly Case[] = [0, 1, 2, 3].map((group) => ({
  name: `random programs ${group * 10} to ${group * 10 + 9}`,
  run: async (gpu: Gpu) => {
    for (let i = 0; i < 10; i++) await judge(gpu, group * 10 + i);
  },
}));
