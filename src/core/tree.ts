// Trees: nested plain objects and arrays of tensors. What a model's parameters, gradients and states are.
import { ReleasedError, ShapeError } from "../errors.ts";
import { type Storage, sameShape, Tensor } from "./tensor.ts";
import { collect, isTensor, replace } from "./walk.ts";

/** Any nesting of objects and arrays with tensors at its ends; interfaces too, which an index signature would refuse. */
export type Tree<T> = T extends Tensor
  ? T
  : T extends object
    ? { readonly [K in keyof T]: Tree<T[K]> }
    : // biome-ignore lint/suspicious/noConfusingVoidType: a function may return nothing
      T extends null | undefined | void
      ? T
      : never;

export interface Leaf {
  /** Keys from the root, joined by "/": `blocks/0/conv1/w`. */
  readonly path: string;
  readonly tensor: Tensor;
}

/** All tensors of a tree in order, with their paths. */
export function leaves(tree: unknown): Leaf[] {
  return collect(tree, isTensor).map(({ path, leaf }) => ({ path, tensor: leaf }));
}

/** The same tree with each tensor replaced. */
export function map<T>(tree: T, change: (tensor: Tensor, index: number) => Tensor): T {
  return replace(tree, isTensor, change) as T;
}

/** Where the leaves of a tree lie in flat memory. */
export interface Layout {
  /** One `[n]` tensor for each distinct buffer, whole: leaves at multiples of 64 elements, arbitrary values between. */
  readonly arenas: readonly Tensor[];
  readonly places: readonly {
    readonly path: string;
    readonly tensor: Tensor;
    /** Index into `arenas`. */
    readonly arena: number;
    /** First element in that arena. */
    readonly offset: number;
  }[];
}

export function layout(tree: unknown): Layout {
  const arenas: Tensor[] = [];
  const index = new Map<Storage, number>();
  const places = leaves(tree).map(({ path, tensor }) => {
    const { storage } = tensor.check("tree.layout");
    let arena = index.get(storage);
    if (arena === undefined) {
      arena = arenas.length;
      index.set(storage, arena);
      arenas.push(new Tensor(tensor.gpu, storage, 0, [storage.bytes / 4], tensor.dtype));
    }
    return { path, tensor, arena, offset: tensor.byteOffset / 4 };
  });
  return { arenas, places };
}

/** The flat `[n]` tensors that a tree's leaves lie in: a few for a whole model. Between leaves the values are arbitrary. */
export function arenas(tree: unknown): readonly Tensor[] {
  return layout(tree).arenas;
}

/**
 * `tree` in arenas of the layout of `like`: itself if it lies so already, else copied there.
 * @throws ShapeError if paths or shapes differ.
 */
export function pack<T>(tree: T, like: unknown): T {
  const to = layout(like);
  const from = new Map(leaves(tree).map(({ path, tensor }) => [path, tensor]));
  const storages: (Storage | null)[] = to.arenas.map(() => null);
  let fits = true;
  for (const { path, tensor, arena } of to.places) {
    const t = from.get(path);
    if (!t) throw new ShapeError(`tree.pack: no tensor at '${path}'`);
    if (!sameShape(t.shape, tensor.shape)) {
      throw new ShapeError(`tree.pack: '${path}' is [${t.shape}], expected [${tensor.shape}]`);
    }
    t.check("tree.pack");
    storages[arena] ??= t.storage;
    fits &&= t.storage === storages[arena] && t.byteOffset === tensor.byteOffset;
    fits &&= t.storage.bytes === to.arenas[arena]!.bytes;
  }
  if (from.size !== to.places.length) {
    const extra = [...from.keys()].find((path) => !to.places.some((p) => p.path === path));
    throw new ShapeError(`tree.pack: nothing to match '${extra}'`);
  }
  if (fits) return tree;
  const fresh = to.arenas.map((a) => a.gpu.internals.memory.empty(a.shape, a.dtype, "tree.pack"));
  const packed = new Map(
    to.places.map(({ path, tensor, arena }) => {
      const view = new Tensor(
        tensor.gpu,
        fresh[arena]!.storage,
        tensor.byteOffset,
        tensor.shape,
        "f32",
      );
      tensor.gpu.internals.memory.copy(from.get(path)!, view);
      return [path, view];
    }),
  );
  const paths = leaves(tree).map(({ path }) => path);
  return map(tree, (_, i) => packed.get(paths[i]!)!);
}

/**
 * Gives back all memory of a tree; arenas too, which need the whole tree.
 * @throws ReleasedError if only some leaves of an arena are given.
 */
export function dispose(tree: unknown): void {
  const seen = new Map<Storage, Set<number>>();
  const all = leaves(tree);
  for (const { tensor } of all) {
    const offsets = seen.get(tensor.storage) ?? new Set();
    seen.set(tensor.storage, offsets.add(tensor.byteOffset));
  }
  for (const [storage, offsets] of seen) {
    if (offsets.size >= storage.views) continue;
    throw new ReleasedError(
      `tree.dispose: ${offsets.size} of the ${storage.views} tensors of an arena; give the whole tree`,
    );
  }
  for (const { tensor } of all) {
    const { role, views, readers } = tensor.storage;
    if (tensor.lease || (role !== "arena" && views === 1)) tensor.dispose();
    else if (role === "arena" || readers === 0)
      tensor.gpu.internals.memory.release(tensor.storage, "tree.dispose");
  }
}
