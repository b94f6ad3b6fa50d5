// How a kernel of one arena divides its work: a table of blocks for sgdAgc.wgsl, and one of plain runs for the rest.
// Knows shapes and numbers, no tensors.
import { ShapeError } from "../errors.ts";
import type { AdapterInfo } from "../gpu/device.ts";
import type { Rules } from "./groups.ts";

/** A parameter's place in its arena, in elements. */
export interface Span {
  readonly path: string;
  readonly shape: readonly number[];
  readonly offset: number;
}

/** The blocks of an arena as words; the first `shared` of them hold only a part of their units. */
export interface BlockTable {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly count: number;
  readonly shared: number;
  /** Room for the partial sums of the shared blocks, in vec4. */
  readonly partials: number;
}

/**
 * `WG` of the shaders that read these tables. On a software adapter a workgroup is one subgroup of a CPU, which walks its
 * columns row by row or its run from end to end: with eight slices each page would be visited eight times.
 */
export const threadsOf = ({ kind }: AdapterInfo): number => (kind === "software" ? 8 : 64);
/**
 * A workgroup of so many is one whole subgroup of a CPU, whose threads had better add up without a barrier. A GPU's barriers
 * are cheap, and its shuffles between any two threads are not.
 */
export const isSubgroup = ({ kind, subgroups }: AdapterInfo, threads: number): boolean =>
  kind === "software" && subgroups?.min === threads && subgroups.max === threads;

const WORDS = 15; // of `struct Block`
const RUN = 8192; // elements of one unit that a block takes alone
/** Rows that a block takes alone: its second pass then finds them in a CPU's cache. */
const ROWS = 4096;
const ROWS_SHARED = 2048; // rows of a block where units are longer
const CHUNK = 4096; // elements of a plain run

interface Block {
  start: number;
  end: number;
  row: number;
  lanes: number;
  width: number;
  join: number;
  scalar: number;
  tail: number;
}

const powerAtMost = (n: number): number => 2 ** Math.floor(Math.log2(n));
const powerAtLeast = (n: number): number => 2 ** Math.ceil(Math.log2(n));
const product = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

/**
 * Rows and columns of the matrix whose columns are a parameter's units, or null where all of it is one unit.
 * Source: `optim.py: unitwise_norm`.
 *
 * @throws ShapeError for five axes and more, unless all but one are 1.
 */
export function unitsOf(
  op: string,
  path: string,
  shape: readonly number[],
): { rows: number; cols: number } | null {
  if (shape.filter((d) => d !== 1).length <= 1) return null;
  if (shape.length > 4)
    throw new ShapeError(`${op}: clipping takes at most 4 axes, '${path}' is [${shape}]`);
  const unit = shape.length === 4 ? 3 : 1; // axes that a norm sums over: H, W, I, or the first
  const rows = product(shape.slice(0, unit));
  const cols = product(shape.slice(unit));
  return cols === 1 ? null : { rows, cols };
}

/** A stretch of elements that all belong to one unit, or to none. */
function run(offset: number, size: number, threads: number): Block {
  const end = offset / 4 + Math.floor(size / 4);
  const block = { start: offset / 4, end, row: threads, lanes: threads, width: threads };
  return { ...block, join: 1, scalar: 0, tail: size % 4 };
}

/** Some columns of some rows. */
function columns(
  offset: number,
  cols: number,
  from: number,
  rows: number,
  threads: number,
): Block[] {
  const vec = cols % 4 === 0;
  const row = vec ? cols / 4 : cols;
  // At least two lanes: `join` 1 means a run. Neighbouring lanes read 128 bytes of a row.
  const slices = Math.min(powerAtMost(rows), threads === 8 ? 1 : vec ? 8 : 2);
  const lanes = Math.max(2, Math.min(threads / slices, powerAtLeast(row)));
  const base = (vec ? offset / 4 : offset) + from * row;
  const blocks: Block[] = [];
  for (let c = 0; c < row; c += lanes) {
    const at = { start: base + c, end: base + rows * row, row, lanes, join: lanes };
    blocks.push({ ...at, width: Math.min(lanes, row - c), scalar: vec ? 0 : 1, tail: 0 });
  }
  return blocks;
}

/** Cuts `n` into equal pieces of at most `most`, as `[from, size]`; each but the last is a multiple of 4. */
function pieces(n: number, most: number): [number, number][] {
  const size = Math.ceil(n / Math.ceil(n / most) / 4) * 4;
  const out: [number, number][] = [];
  for (let from = 0; from < n; from += size) out.push([from, Math.min(size, n - from)]);
  return out;
}

/** The blocks of one parameter, by unit: blocks of one inner list share their units. */
function blocksOf(
  op: string,
  { path, shape, offset }: Span,
  clipped: boolean,
  threads: number,
): Block[][] {
  const size = product(shape);
  const units = clipped ? unitsOf(op, path, shape) : null;
  if (!units) {
    const parts = pieces(size, RUN).map(([from, n]) => run(offset + from, n, threads));
    return clipped ? [parts] : parts.map((part) => [part]);
  }
  const { rows, cols } = units;
  if (rows <= ROWS) return columns(offset, cols, 0, rows, threads).map((block) => [block]);
  const byRows = pieces(rows, ROWS_SHARED).map(([from, n]) =>
    columns(offset, cols, from, n, threads),
  );
  return byRows[0]!.map((_, i) => byRows.map((blocks) => blocks[i]!));
}

/**
 * The table of sgdAgc.wgsl and agc.wgsl, whose `WG` is `threads`: `rules[i]` are those of `spans[i]`. What a block sums and in which order depends on its
 * parameter's shape alone, so the same parameters give the same bits in one arena and in many.
 */
export function clippingBlocks(
  op: string,
  spans: readonly Span[],
  rules: readonly Rules[],
  threads: number,
): BlockTable {
  const shared: { block: Block; rule: Rules; parts: number; partial: number; first: number }[] = [];
  const whole: typeof shared = [];
  let partials = 0;
  spans.forEach((span, i) => {
    const rule = rules[i]!;
    for (const parts of blocksOf(op, span, rule.clipping !== null, threads)) {
      if (parts.length === 1) {
        whole.push({ block: parts[0]!, rule, parts: 1, partial: 0, first: 0 });
        continue;
      }
      const first = partials;
      for (const block of parts) {
        shared.push({ block, rule, parts: parts.length, partial: partials, first });
        partials += 2 * block.join;
      }
    }
  });
  const all = [...shared, ...whole];
  const words = new Uint32Array(all.length * WORDS);
  const floats = new Float32Array(words.buffer);
  all.forEach(({ block: b, rule, parts, partial, first }, i) => {
    const ints = [b.start, b.end, b.row, b.lanes, b.width, b.join, b.scalar, b.tail];
    words.set([...ints, parts, partial, first], i * WORDS);
    const { weightDecay, clipping, eps, lrScale } = rule;
    floats.set([weightDecay ?? 0, clipping ?? -1, eps, lrScale], i * WORDS + ints.length + 3);
  });
  return { words, count: all.length, shared: shared.length, partials };
}

/** Runs of at most 4096 elements of one parameter each. */
const runsOf = ({ shape, offset }: Span): (readonly [start: number, end: number, tail: number])[] =>
  pieces(product(shape), CHUNK).map(([from, n]) => {
    const { start, end, tail } = run(offset + from, n, 1); // for any number of threads
    return [start, end, tail];
  });

interface Table {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly count: number;
}
const tableOf = (rows: readonly (readonly number[])[]): Table => ({
  words: Uint32Array.from(rows.flat()),
  count: rows.length,
});
const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
function bits(value: number): number {
  float[0] = value;
  return floatBits[0]!;
}

/** For kernels that know no rules: first vec4, end in vec4, elements behind it. */
export const plainRuns = (spans: readonly Span[]): Table => tableOf(spans.flatMap(runsOf));

/** The same with the parameter's weight decay, eps and rate: `Run` of lib/runs.wgsl. */
export const ruledRuns = (spans: readonly Span[], rules: readonly Rules[]): Table =>
  tableOf(spans.flatMap((span, i) => runsOf(span).map((row) => [...row, ...numbers(rules[i]!)])));

/** And with where the parameter's runs begin, and how many they are: `Part` of fromage.wgsl. */
export function partedRuns(spans: readonly Span[], rules: readonly Rules[]): Table {
  let first = 0;
  const rows = spans.flatMap((span, i) => {
    const runs = runsOf(span);
    const at = first;
    first += runs.length;
    return runs.map((row) => [...row, ...numbers(rules[i]!), at, runs.length]);
  });
  return tableOf(rows);
}

const numbers = ({ weightDecay, eps, lrScale }: Rules): number[] =>
  [weightDecay ?? 0, eps, lrScale].map(bits);
