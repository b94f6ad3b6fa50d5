// Scaled weight standardization: what makes a network normalizer-free; of one weight, and of all weights of a network in
// one dispatch. Not the convolution that uses the result.
import alone from "../../shaders/lib/columns_alone.wgsl";
import barrier from "../../shaders/lib/columns_barrier.wgsl";
import source from "../../shaders/standardize.wgsl";
import { checked, defineOp } from "../core/op.ts";
import { Tensor } from "../core/tensor.ts";
import { DeviceError, ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { maximum, mul, rsqrt, sub } from "./elementwise.ts";
import { mean, variance } from "./reduce.ts";

const NONE = 0xffffffff;
const WORDS = 7; // of `struct Layer`
const KEPT = 3; // statistics of a column

type Width = "vec4" | "scalar";
type Kind = "software" | "hardware";
/** CX, SY, TWO: on a GPU many threads share a column; a CPU's barriers cost more than that gains. */
const WORKGROUPS = { software: [8, 1, true], hardware: [8, 32, false] } as const;
const variants = (kind: Kind, F: string) => {
  const [CX, SY, TWO] = WORKGROUPS[kind];
  const uses = [kind === "software" ? alone : barrier];
  const kernel = (entry: string, TABLE: boolean, JOINED: boolean) =>
    defineKernel(source, { entry, knobs: { F, CX, SY, TWO, TABLE, JOINED }, uses });
  return {
    forward: { one: kernel("forward", false, false), all: kernel("forward", true, false) },
    backward: {
      one: kernel("backward", false, false),
      all: kernel("backward", true, false),
      joined: kernel("backward", true, true),
    },
  };
};
const kernels = /* @__PURE__ */ (() => ({
  software: { vec4: variants("software", "vec4f"), scalar: variants("software", "f32") },
  hardware: { vec4: variants("hardware", "vec4f"), scalar: variants("hardware", "f32") },
}))();

const widthOf = (w: Tensor): Width => (w.shape.at(-1)! % 4 === 0 ? "vec4" : "scalar");
/** Rows and columns of a weight, and its workgroups, as the kernel counts them. */
function sizesOf(w: Tensor, kind: Kind) {
  const out = w.shape.at(-1)!;
  const cols = widthOf(w) === "vec4" ? out / 4 : out;
  const [cx, , two] = WORKGROUPS[kind];
  return { rows: w.size / out, cols, blocks: Math.ceil(cols / (two ? 2 * cx : cx)) };
}
/** All threads of that many workgroups. */
const threadsOf = (kind: Kind, blocks: number): [number] => {
  const [cx, sy] = WORKGROUPS[kind];
  return [blocks * cx * sy];
};
const keptShape = (w: Tensor): readonly number[] => [KEPT * w.shape.at(-1)!];

/** The same from plain ops, as the reference writes it. */
export function plainStandardize(w: Tensor, gain: Tensor | null, eps: number): Tensor {
  const options = { axis: [...w.shape.keys()].slice(0, -1), keepDims: true };
  const fanIn = w.size / w.shape.at(-1)!;
  const root = rsqrt(maximum(mul(variance(w, options), fanIn), eps));
  const scale = gain ? mul(root, gain) : root;
  return sub(mul(w, scale), mul(mean(w, options), scale));
}

function check(op: string, w: Tensor, gain: Tensor | null, eps: number): void {
  if (w.dtype !== "f32") throw new ShapeError(`${op}: w is ${w.dtype}, expected f32`);
  if (w.shape.length < 2)
    throw new ShapeError(`${op}: w [${w.shape}] expects at least 2 dimensions`);
  const out = w.shape.at(-1)!;
  if (gain && (gain.dtype !== "f32" || gain.shape.length !== 1 || gain.size !== out)) {
    const what = `${gain.dtype} [${gain.shape}]`;
    throw new ShapeError(`${op}: gain is ${what}, w [${w.shape}] expects f32 [${out}]`);
  }
  if (!(eps >= 0)) throw new ShapeError(`${op}: eps ${eps} is below 0`);
}

function oneParams(w: Tensor, gain: Tensor | null, eps: number, kind: Kind) {
  const { rows, cols, blocks } = sizesOf(w, kind);
  const layer = { count: 1, first: 0, rows, cols, gain: gain ? 0 : NONE };
  return { params: { ...layer, eps, g: 0, dgain: 0, gains: 0 }, threads: threadsOf(kind, blocks) };
}

interface Attrs {
  /** The least `var * fan_in` that a weight counts with; default 1e-4. */
  readonly eps?: number;
}

/**
 * Scaled weight standardization over all axes but the last (`base.py: WSConv2D.standardize_weight`;
 * Brock et al. 2021, section 2): `(w - mean) * rsqrt(max(var * fan_in, eps)) * gain`, var biased,
 * fan_in the product of the leading dimensions.
 *
 * w `[..., out]` (HWIO for a convolution, whose I is already that of one group), gain `[out]`; the
 * result is like w. Where eps is the greater, the gradient has no variance term.
 *
 * @throws ShapeError
 */
export const standardize = /* @__PURE__ */ defineOp({
  name: "standardize",
  inputs: ["w", "gain?"],
  outputs: ["y", "~kept"],
  saves: ["w", "gain", "kept"],
  turns: ["w"],
  shape: ({ w, gain }, { eps = 1e-4 }: Attrs) => {
    check("standardize", w, gain, eps);
    return { y: w.shape, kept: keptShape(w) };
  },
  forward: (run, { w, gain, y, kept }, { eps = 1e-4 }) => {
    const { kind } = run.adapter;
    const { params, threads } = oneParams(w, gain, eps, kind);
    const tensors = { layers: w, w, gain: gain ?? w, y, stats: kept };
    run(kernels[kind][widthOf(w)].forward.one, tensors, params, threads);
  },
  backward: (run, { w, gain, kept, dw, dgain }, { eps = 1e-4 }) => {
    const { kind } = run.adapter;
    const { params, threads } = oneParams(w, gain, eps, kind);
    const tensors = {
      layers: w,
      w,
      gain: gain ?? w,
      g: dw,
      kept,
      dgain: dgain ?? run.scratch([4]),
    };
    const gains = dgain ? 1 : 0;
    run(kernels[kind][widthOf(w)].backward.one, tensors, { ...params, gains }, threads);
  },
  reference: ({ w, gain }, { eps = 1e-4 }) => plainStandardize(w, gain, eps),
});

/** The whole buffer that a tensor lies in. */
const whole = ({ gpu, storage }: Tensor): Tensor =>
  new Tensor(gpu, storage, 0, [storage.bytes / 4], "f32");
const u32 = (n: number): number => n >>> 0;

interface Plan {
  readonly eps: number;
  readonly width: Width;
  /** Each layer's gain among the gains, or -1. */
  readonly gainOf: readonly number[];
  /** First workgroup of each layer, and their number at the end. */
  readonly firsts: readonly number[];
}

/** Places in F, which a table counts in. */
const placeOf = (t: Tensor, width: Width): number => t.byteOffset / (width === "vec4" ? 16 : 4);

/** Weights that lie in one buffer, and gains that lie in one. */
const standardizeLayers = /* @__PURE__ */ defineOp({
  name: "standardizeAll",
  inputs: ["...ws", "...gains?", "layers"],
  outputs: ["...ys", "~kept"],
  saves: ["ws", "gains", "layers", "kept"],
  turns: ["ws"],
  shape: ({ ws }, _: Plan) => ({
    ys: ws.map((w) => w.shape),
    kept: [ws.reduce((n, w) => n + keptShape(w)[0]!, 0)],
  }),
  forward: (run, { ws, gains, layers, ys, kept }, { eps, width, firsts }) => {
    const { kind } = run.adapter;
    const w = whole(ws[0]!);
    const gain = gains[0] ? whole(gains[0]) : w;
    const tensors = { layers, w, gain, y: whole(ys[0]!), stats: kept };
    const one = { rows: 0, cols: 0, gain: NONE, g: 0, dgain: 0, gains: 0 };
    const params = { count: ws.length, first: 0, eps, ...one };
    run(kernels[kind][width].forward.all, tensors, params, threadsOf(kind, firsts.at(-1)!));
  },
  backward: (run, { ws, gains, layers, kept, dws, dgains }, plan) => {
    const { eps, width, gainOf, firsts } = plan;
    const { kind } = run.adapter;
    const { all, joined } = kernels[kind][width].backward;
    const w = whole(ws[0]!);
    const gain = gains[0] ? whole(gains[0]) : w;
    const place = (t: Tensor) => placeOf(t, width);
    const lies = ws.map((weight, i) => {
      const g = dws[i]!;
      const d = dgains[gainOf[i]!] ?? null;
      const to = d ? u32(place(d) - place(gains[gainOf[i]!]!)) : 0;
      return { g, shift: u32(place(g) - place(weight)), d, to, has: gainOf[i]! >= 0 };
    });
    type Lie = (typeof lies)[number];
    const together = (a: Lie, b: Lie) =>
      a.g.storage === b.g.storage &&
      a.shift === b.shift &&
      (!a.has || !b.has || (a.d?.storage === b.d?.storage && a.to === b.to));
    // Neighbours in the table whose gradients lie like their parameters go in one dispatch.
    for (let from = 0, to = 0; from < ws.length; from = to) {
      const { g, shift } = lies[from]!;
      while (to < ws.length && lies.slice(from, to).every((a) => together(a, lies[to]!))) to++;
      const given = lies.slice(from, to).find(({ d }) => d);
      const one = given?.d?.storage === g.storage;
      const dgain = given?.d && !one ? whole(given.d) : run.scratch([4]);
      const params = {
        ...{ count: ws.length, first: firsts[from]!, rows: 0, cols: 0, gain: NONE, eps },
        ...{ g: shift, dgain: given?.to ?? 0, gains: given ? 1 : 0 },
      };
      const threads = threadsOf(kind, firsts[to]! - firsts[from]!);
      const tensors = { layers, w, gain, g: whole(g), kept, dgain };
      run(one ? joined : all, tensors, params, threads);
    }
  },
});

/** Those of the layers that go in one dispatch, and the table of them. */
function planOf(ws: readonly Tensor[], gains: readonly (Tensor | null)[], eps: number) {
  const { kind } = ws[0]!.gpu.info;
  const width = widthOf(ws[0]!);
  const table = new Uint32Array(ws.length * WORDS);
  const given: Tensor[] = [];
  const firsts = [0];
  let stats = 0;
  let bytes = 0;
  const gainOf = ws.map((w, i) => {
    const { rows, cols, blocks } = sizesOf(w, kind);
    const gain = gains[i] ?? null;
    const y = bytes / (width === "vec4" ? 16 : 4);
    const at = gain ? placeOf(gain, width) : NONE;
    table.set([firsts[i]!, rows, cols, placeOf(w, width), y, at, stats], i * WORDS);
    firsts.push(firsts[i]! + blocks);
    stats += KEPT * cols;
    bytes = Math.ceil((bytes + w.bytes) / 256) * 256;
    return gain ? given.push(gain) - 1 : -1;
  });
  return { table, given, plan: { eps, width, gainOf, firsts } satisfies Plan };
}

/**
 * `standardize` of many weights at once: `ws[i]` with `gains[i]` (null: without one; `gains` null: all without). The
 * results, in the order of `ws`, are the same bits. One dispatch for all weights in one buffer, as a model's parameters
 * are, and one for all their gradients; weights whose columns 4 does not divide go in a dispatch of their own. The
 * results share a buffer: `tree.dispose` all of them together.
 *
 * @throws ShapeError for what `standardize` refuses, or a list of gains of another length.
 */
export function standardizeAll(
  ws: readonly Tensor[],
  gains: readonly (Tensor | null)[] | null = null,
  attrs: Attrs = {},
): Tensor[] {
  const name = "standardizeAll";
  const { eps = 1e-4 } = attrs ?? {};
  checked(name, attrs, () => {
    const lists = [ws, gains ?? []].every((list) => Array.isArray(list));
    if (!lists || ws.length === 0)
      throw new ShapeError(`${name}: expected a list of weights, and one of gains or null`);
    if (gains && gains.length !== ws.length)
      throw new ShapeError(`${name}: ${gains.length} gains for ${ws.length} weights`);
    ws.forEach((w, i) => {
      const gain = gains?.[i] ?? null;
      if (!(w instanceof Tensor) || !(gain === null || gain instanceof Tensor))
        throw new ShapeError(
          `${name}: layer ${i} is not a weight with a gain or null, but no tensor`,
        );
      for (const t of gain ? [w, gain] : [w])
        if (t.check(name).gpu !== ws[0]!.gpu)
          throw new DeviceError(`${name}: layer ${i} belongs to another gpu`);
      check(name, w, gain, eps);
    });
  });
  const groups = new Map<string, number[]>();
  ws.forEach((w, i) => {
    const gain = gains?.[i] ?? null;
    // What needs no gradient stays off the tape, so that nobody computes its result's.
    const needed = Boolean(w.node ?? gain?.node);
    const key = [w, gain ?? w].map((t) => t.storage.buf.id).join(" ");
    const group = `${key} ${widthOf(w)} ${needed}`;
    groups.set(group, [...(groups.get(group) ?? []), i]);
  });
  const results: Tensor[] = [];
  for (const members of groups.values()) {
    const own = members.map((i) => ws[i]!);
    const { table, given, plan } = planOf(
      own,
      members.map((i) => gains?.[i] ?? null),
      eps,
    );
    const layers = own[0]!.gpu.tensor(table);
    let ys: readonly Tensor[];
    try {
      ys = standardizeLayers(own, given, layers, plan);
    } finally {
      layers.dispose();
    }
    members.forEach((at, i) => {
      results[at] = ys[i]!;
    });
  }
  return results;
}
