// Host data, and the types that say where it may stand for a tensor.
import { ShapeError } from "../errors.ts";
import { type DType, type Shape, sizeOf, Tensor } from "./tensor.ts";

export type HostArray = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
/** An array of the host with its shape. */
export interface Host {
  readonly data: HostArray;
  readonly shape: Shape;
}
/** An array that has yet to be read, from a file for example. */
export interface Lazy {
  readonly shape: Shape;
  readonly dtype: string;
  read(): Promise<HostArray>;
  /** The same values in order, in pieces, for what is too large to be in memory at once. */
  pieces?(): AsyncIterable<HostArray>;
}

/** `T` with host data, or a number, where it has a tensor. */
export type Given<T, N = number> = T extends Tensor
  ? Tensor | Host | HostArray | N
  : T extends object
    ? { readonly [K in keyof T]: Given<T[K], N> }
    : T;
export type GivenArgs<A extends readonly unknown[], N = number> = {
  [K in keyof A]: Given<A[K], N>;
};
/** `T` with a host array where it has a tensor. */
export type HostTree<T> = T extends Tensor
  ? Host
  : T extends object
    ? { readonly [K in keyof T]: HostTree<T[K]> }
    : T;
/** `T` with an array to be read where it has a tensor. */
export type LazyTree = Lazy | { readonly [name: string]: LazyTree } | readonly LazyTree[];

const isObject = (x: unknown): x is object => typeof x === "object" && x !== null;
export const isArray = (x: unknown): x is HostArray =>
  x instanceof Float32Array || x instanceof Uint32Array;
export const isHost = (x: unknown): x is Host =>
  isObject(x) && !(x instanceof Tensor) && "shape" in x && "data" in x && isArray(x.data);
export const isLazy = (x: unknown): x is Lazy =>
  isObject(x) && "shape" in x && "read" in x && typeof x.read === "function";

export const dtypeOf = (data: HostArray): DType => (data instanceof Uint32Array ? "u32" : "f32");

/** A number becomes a scalar, a bare array one dimension. */
export function toHost(x: Host | HostArray | number): Host {
  if (typeof x === "number") return { data: Float32Array.of(x), shape: [] };
  return isArray(x) ? { data: x, shape: [x.length] } : x;
}

/** @throws ShapeError unless `shape` is a list of positive integers. */
export function checkShape(user: string, shape: Shape): void {
  if (shape.every((d) => Number.isInteger(d) && d > 0)) return;
  throw new ShapeError(
    `${user}: shape [${shape}] expects positive integers; a tensor is never empty`,
  );
}

/** @throws ShapeError unless `data` fills `shape`. */
export function checkHost(user: string, { data, shape }: Host): void {
  checkShape(user, shape);
  if (sizeOf(shape) === data.length) return;
  throw new ShapeError(
    `${user}: [${shape}] holds ${sizeOf(shape)} values, the data has ${data.length}`,
  );
}
