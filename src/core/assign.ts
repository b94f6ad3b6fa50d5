// Writing values into tensors that exist, from tensors, host data or files.
import { DeviceError, RecordError, ShapeError } from "../errors.ts";
import type { Gpu } from "./gpu.ts";
import {
  dtypeOf,
  type Given,
  type Host,
  isArray,
  isHost,
  isLazy,
  type Lazy,
  type LazyTree,
  toHost,
} from "./host.ts";
import { type Shape, sameShape, Tensor } from "./tensor.ts";
import { type Leaf, leaves, type Tree } from "./tree.ts";
import { collect, isTensor } from "./walk.ts";

export interface Assign {
  <T>(to: T & Tree<T>, from: Given<NoInfer<T>>): void;
  <T>(to: T & Tree<T>, from: LazyTree): Promise<void>;
}

type Source = Tensor | Host | Lazy;

/** Names and shapes, before the first write. A bare array needs only as many values. */
function match(gpu: Gpu, to: readonly Leaf[], from: unknown): Source[] {
  const isSource = (x: unknown): x is Source | Float32Array<ArrayBuffer> | number =>
    isTensor(x) || isHost(x) || isLazy(x) || isArray(x) || typeof x === "number";
  const given = new Map(collect(from, isSource).map(({ path, leaf }) => [path, leaf]));
  const sources = to.map(({ path, tensor }) => {
    const x = given.get(path);
    given.delete(path);
    const name = path || "the value";
    if (x === undefined) throw new ShapeError(`assign: there is no value for '${name}'`);
    if (tensor.check("assign").gpu !== gpu)
      throw new DeviceError(`assign: '${name}' belongs to another gpu`);
    if (tensor.storage.role === "input") {
      throw new RecordError(
        `assign: '${name}' is an argument of the recorded function, which is read-only`,
      );
    }
    const source = typeof x === "number" || isArray(x) ? toHost(x) : x;
    if (source instanceof Tensor && source.check("assign").gpu !== gpu) {
      throw new DeviceError(`assign: the value of '${name}' belongs to another gpu`);
    }
    const shape: Shape = source.shape;
    const dtype = isHost(source)
      ? source.data instanceof Uint32Array
        ? "u32"
        : "f32"
      : source.dtype.toLowerCase();
    const fits = isArray(x) ? x.length === tensor.size : sameShape(shape, tensor.shape);
    if (!fits || (!isLazy(source) && dtype !== tensor.dtype)) {
      throw new ShapeError(
        `assign: '${name}' is ${tensor.dtype} [${tensor.shape}], the value ${dtype} [${shape}]`,
      );
    }
    if (isHost(source) && source.data.length !== tensor.size) {
      throw new ShapeError(
        `assign: '${name}' has ${tensor.size} elements, the value ${source.data.length}`,
      );
    }
    return source;
  });
  const extra = given.keys().next();
  if (!extra.done)
    throw new ShapeError(`assign: there is no tensor for the value '${extra.value}'`);
  return sources;
}

function write(gpu: Gpu, to: Tensor, source: Tensor | Host): void {
  const { memory } = gpu.internals;
  if (!(source instanceof Tensor)) {
    if (memory.current?.recording) {
      throw new RecordError(
        "assign: host data inside a recorded function would be written at every replay; pass it as an argument",
      );
    }
    memory.upload(to, source.data);
    return;
  }
  if (source.node)
    throw new RecordError("assign: the value is being differentiated; assign its stopGradient");
  if (source.storage !== to.storage) {
    memory.copy(source, to);
    return;
  }
  const via = memory.empty(source.shape, source.dtype, "assign"); // WebGPU copies nothing within one buffer
  memory.copy(source, via);
  memory.copy(via, to);
  memory.release(via.storage, "assign");
}

/** See `Gpu.assign`. */
export function assign(gpu: Gpu, to: unknown, from: unknown): void | Promise<void> {
  const targets = leaves(to);
  const sources = match(gpu, targets, from);
  if (sources.some(isLazy)) return load(gpu, targets, sources);
  const bytes = sources.reduce((n, s) => n + (isHost(s) ? s.data.byteLength : 0), 0);
  gpu.internals.recorder.admit(bytes, "assign");
  for (const [i, source] of sources.entries())
    write(gpu, targets[i]!.tensor, source as Tensor | Host);
}

/** Uploads of lazy arrays wait for the device once they are this many bytes: its staging memory stays small. */
const STAGED_BYTES = 8 << 20;

/** One array, or one piece of it, at a time in the process. */
async function load(gpu: Gpu, targets: readonly Leaf[], sources: readonly Source[]): Promise<void> {
  const { memory } = gpu.internals;
  let staged = 0;
  for (const [i, source] of sources.entries()) {
    const { tensor, path } = targets[i]!;
    if (!isLazy(source)) {
      write(gpu, tensor, source);
      continue;
    }
    let at = 0;
    for await (const piece of source.pieces?.() ?? [await source.read()]) {
      if (dtypeOf(piece) !== tensor.dtype || at + piece.length > tensor.size) {
        throw new ShapeError(
          `assign: '${path}' has ${tensor.size} elements of ${tensor.dtype}, ` +
            `${at + piece.length} of ${dtypeOf(piece)} were read`,
        );
      }
      memory.upload(tensor.check("assign"), piece, at);
      at += piece.length;
      staged += piece.byteLength;
      if (staged < STAGED_BYTES) continue;
      await gpu.sync();
      staged = 0;
    }
    if (at !== tensor.size) {
      throw new ShapeError(`assign: '${path}' has ${tensor.size} elements, ${at} were read`);
    }
  }
  await gpu.sync();
}
