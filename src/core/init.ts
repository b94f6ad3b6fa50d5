// Parameters from their specification: laid out in arenas, filled with Haiku's initial values.
import { LimitError, ShapeError } from "../errors.ts";
import type { Gpu } from "./gpu.ts";
import { checkShape } from "./host.ts";
import { type Key, key, sequence } from "./random.ts";
import { type Shape, sizeOf, Tensor } from "./tensor.ts";
import { collect, replace } from "./walk.ts";

/** Initial values of a parameter. */
export interface Initializer {
  (key: Key, shape: Shape): Float32Array<ArrayBuffer>;
  /** It draws: it takes the next key of the sequence. One that does not gets a key that it must not use. */
  readonly random: boolean;
}

export interface ParamSpec {
  readonly shape: Shape;
  readonly init: Initializer;
  /** Keys that the model's training pass draws between the parameter before and this one. */
  readonly draws?: number;
}
/** Any nesting of parameter specifications, in order of creation. */
export type SpecTree = ParamSpec | readonly SpecTree[] | { readonly [name: string]: SpecTree };
/** The parameters of a specification: the same tree, with tensors. */
export type Params<S> = S extends ParamSpec ? Tensor : { readonly [K in keyof S]: Params<S[K]> };

export interface InitOptions {
  /** JAX's `PRNGKey(seed)`; default 0. */
  readonly seed?: number;
  /** The values of Haiku's init in training mode (the default) or not: the two draw different keys. */
  readonly train?: boolean;
  /** All zeros, without drawing anything: for values that are loaded next. */
  readonly zeros?: boolean;
  /** Largest arena in bytes; default: the adapter's largest binding. */
  readonly arenaBytes?: number;
}

/** Tensors that share a buffer begin at multiples of this: the largest offset alignment that an adapter may ask for. */
export const ALIGN = 256;

const isSpec = (x: unknown): x is ParamSpec =>
  typeof x === "object" &&
  x !== null &&
  "shape" in x &&
  "init" in x &&
  typeof x.init === "function";

/** Offsets of tensors in as few arenas as the limit allows, in order. */
function place(shapes: readonly Shape[], limit: number) {
  const arenas: { bytes: number; views: number }[] = [];
  const places = shapes.map((shape) => {
    const bytes = Math.ceil((4 * sizeOf(shape)) / ALIGN) * ALIGN;
    let last = arenas.at(-1);
    if (!last || (last.views > 0 && last.bytes + bytes > limit)) {
      last = { bytes: 0, views: 0 };
      arenas.push(last);
    }
    const at = { arena: arenas.length - 1, offset: last.bytes };
    last.bytes += bytes;
    last.views++;
    return at;
  });
  return { arenas, places };
}

/** Fills the parameters of `spec`. See `Gpu.init`. */
export function init<const S extends SpecTree>(gpu: Gpu, spec: S, options: InitOptions): Params<S> {
  const { memory } = gpu.internals;
  const max = gpu.info.limits.maxStorageBufferBindingSize!;
  const { seed = 0, train = true, zeros = false, arenaBytes = max } = options;
  const found = collect(spec, isSpec);
  if (found.length === 0) throw new ShapeError("init: the specification holds no parameter");
  for (const { path, leaf } of found) {
    checkShape(`init: '${path}'`, leaf.shape);
    const bytes = 4 * sizeOf(leaf.shape);
    if (bytes > max) {
      throw new LimitError(
        `init: '${path}' [${leaf.shape}] has ${bytes} bytes, the adapter binds at most ${max}`,
      );
    }
  }
  const keys = sequence(key(seed));
  const none = key(0);
  const { arenas, places } = place(
    found.map(({ leaf }) => leaf.shape),
    Math.min(arenaBytes, max),
  );
  const storages = arenas.map(({ bytes, views }) => memory.arena(bytes, views, "params"));
  const view = (shape: Shape, i: number) =>
    new Tensor(gpu, storages[places[i]!.arena]!, places[i]!.offset, shape, "f32");
  const make = ({ shape, init: fill, draws = 0 }: ParamSpec, i: number) => {
    if (zeros) return view(shape, i);
    for (let n = train ? draws : 0; n > 0; n--) keys.next();
    const values = fill(fill.random ? keys.next() : none, shape);
    if (values.length !== sizeOf(shape)) {
      throw new ShapeError(
        `init: '${found[i]!.path}' [${shape}] was given ${values.length} values`,
      );
    }
    const t = view(shape, i);
    memory.upload(t, values);
    return t;
  };
  try {
    for (const storage of zeros ? storages : [])
      memory.clear(new Tensor(gpu, storage, 0, [storage.bytes / 4], "f32"));
    return replace(spec, isSpec, make) as Params<S>;
  } catch (error) {
    for (const storage of storages) memory.release(storage, "a failed init");
    throw error;
  }
}
