// The user's handle: memory, scopes, and the way from host data to the device and back. Knows no op by name.
import { DeviceError, DeviceLostError, RecordError } from "../errors.ts";
import type { Counts } from "../gpu/commands.ts";
import type { AdapterInfo, Device } from "../gpu/device.ts";
import type { Timing } from "../gpu/encode.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { Recorder } from "../gpu/recorder.ts";
import { type Assign, assign } from "./assign.ts";
import { dispatch, type Run } from "./dispatch.ts";
import {
  checkHost,
  checkShape,
  dtypeOf,
  type Host,
  type HostArray,
  type HostTree,
  isHost,
} from "./host.ts";
import { type InitOptions, init, type Params, type SpecTree } from "./init.ts";
import { Memory } from "./memory.ts";
import { compile, type Recordable, type Recorded, type RecordOptions, record } from "./record.ts";
import { type DType, type Shape, type Storage, Tensor } from "./tensor.ts";
import { leaves, map, type Tree } from "./tree.ts";
import { isTensor, replace } from "./walk.ts";

/** What is on the device. In steady state all of it stands still. */
export interface MemoryReport {
  /** Buffers in use and waiting to be used again, and those made since the start. */
  readonly live: number;
  readonly free: number;
  readonly created: number;
  /** Bytes of the buffers in use, and of all buffers. */
  readonly liveBytes: number;
  readonly bytes: number;
  /** The most bytes in use at once since the start, or since `gpu.resetPeak()`. */
  readonly peakBytes: number;
  /** Beside them: bytes of the images that products are read from on some software adapters. */
  readonly imageBytes: number;
  /** Entries of the tables of bind groups and uniform values. */
  readonly bindGroups: number;
  readonly params: number;
  /** What lives until it is disposed: its maker, its bytes and, in debug mode, the line that made it. */
  readonly alive: readonly {
    readonly op: string;
    readonly bytes: number;
    readonly site?: string;
  }[];
}

/** One dispatch: its kernel's label, what distinguishes it from kernels of the same text, and its grid. */
export interface DispatchInfo {
  /** `shaders/conv2d.wgsl:quads` */
  readonly kernel: string;
  readonly variant: string | null;
  readonly knobs: Kernel["knobs"];
  /** Threads of a workgroup, and workgroups. */
  readonly workgroup: readonly [number, number, number];
  readonly grid: readonly [number, number, number];
}

/** An adapter opened for work. Made by `openGpu`. */
export class Gpu {
  /** @internal What the rest of the engine uses. */
  readonly internals: {
    readonly device: Device;
    readonly recorder: Recorder;
    readonly memory: Memory;
  };
  /** Adds one kernel to the device's work: what an op's rules get as `run`. Writes nothing on a tape. */
  readonly dispatch: Run;

  /** @internal */
  constructor(device: Device, debug: boolean) {
    const recorder = new Recorder(device);
    const memory = new Memory(this, device, recorder, debug);
    this.internals = { device, recorder, memory };
    const run = (...[kernel, tensors, params, threads]: Parameters<Run>) =>
      dispatch(this, kernel, tensors, params, threads);
    this.dispatch = Object.assign(run, {
      scratch: (shape: Shape, dtype: DType = "f32") => memory.scratch(shape, dtype),
      adapter: device.info,
    });
  }

  /** What the adapter is and can do. */
  get info(): AdapterInfo {
    return this.internals.device.info;
  }

  /**
   * Host data on the device: yours outside any function, a constant inside a recorded one. `shape` defaults to one
   * dimension; numbers become f32.
   * @throws ShapeError if the data does not fill the shape, LimitError if it is larger than a binding.
   */
  tensor(data: HostArray | readonly number[] | Host, shape?: Shape): Tensor {
    const array = isHost(data) ? data.data : Array.isArray(data) ? Float32Array.from(data) : data;
    const host = {
      data: array as HostArray,
      shape: shape ?? (isHost(data) ? data.shape : [(array as HostArray).length]),
    };
    checkHost("tensor", host);
    return this.internals.memory.constant(host.data, host.shape, dtypeOf(host.data), "tensor");
  }

  /** Zeros: yours outside any function. */
  zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    checkShape("zeros", shape);
    const { memory } = this.internals;
    const t = memory.empty(shape, dtype, "zeros");
    memory.clear(t);
    return t;
  }

  /** Zeros of the shapes of a tree, in arenas of its layout: an optimizer's state. Yours. */
  zerosLike<T>(tree: T & Tree<T>): T {
    const { memory } = this.internals;
    const arenas = new Map<Storage, Storage>();
    return map(tree, (t) => {
      if (t.storage.role !== "arena") return this.zeros(t.shape, t.dtype);
      let storage = arenas.get(t.storage);
      if (!storage) {
        storage = memory.arena(t.storage.bytes, t.storage.views, "zerosLike");
        arenas.set(t.storage, storage);
        memory.clear(new Tensor(this, storage, 0, [storage.bytes / 4], t.dtype));
      }
      return new Tensor(this, storage, t.byteOffset, t.shape, t.dtype);
    });
  }

  /**
   * The parameters of a specification, in flat arenas, with the values that Haiku's `init` gives for
   * `PRNGKey(seed)`, or zeros where others are loaded next. Yours; `tree.dispose` gives them back.
   */
  init<const S extends SpecTree>(spec: S, options: InitOptions = {}): Params<S> {
    return init(this, spec, options);
  }

  /**
   * Writes values into tensors that exist, so that recordings that captured them go on. Names and shapes are checked
   * first. Inside a recording it is part of it. Leaves that have yet to be read make it a promise.
   */
  readonly assign = ((to: unknown, from: unknown) => assign(this, to, from)) as Assign;

  /** A whole tree in one readback: the same tree with host arrays. The copies are queued at once. */
  read<T>(tree: T & Tree<T>): Promise<HostTree<T>> {
    const found = leaves(tree).map(({ tensor, path }) => {
      if (tensor.gpu !== this) throw new DeviceError(`read: '${path}' belongs to another gpu`);
      return tensor.check("read");
    });
    if (this.internals.memory.current?.recording) {
      throw new RecordError(
        "a readback inside a recorded function; return the tensor and read it outside",
      );
    }
    this.internals.device.check("read");
    if (found.length === 0) return Promise.resolve(tree as HostTree<T>);
    const ranges = found.map((t) => ({
      buffer: t.storage.buf.gpu,
      offset: t.byteOffset,
      bytes: t.bytes,
    }));
    return this.internals.recorder.read(ranges).then((raw) => {
      let at = 0;
      return replace(tree, isTensor, (t) => {
        const data =
          t.dtype === "u32" ? new Uint32Array(raw, at, t.size) : new Float32Array(raw, at, t.size);
        at += t.bytes;
        return { data, shape: t.shape };
      }) as HostTree<T>;
    });
  }

  /**
   * A function that runs `fn` once, keeps its commands and replays them. See `RecordOptions`, and docs/memory.md for
   * what a recording takes and what it refuses.
   */
  record<A extends readonly unknown[], R>(
    fn: Recordable<A, R>,
    options: RecordOptions = {},
  ): Recorded<A, R> {
    return record(this, fn as (...args: A) => R, options);
  }

  /**
   * Runs `fn` (synchronous) and gives back all that it made but what it returns.
   * @throws RecordError if `fn` is async.
   */
  scope<R>(fn: () => R & Tree<R>): R {
    const { memory } = this.internals;
    const parent = memory.current;
    return memory.scoped(memory.inner("gpu.scope"), fn, parent);
  }

  /** Makes tensors yours: they live until `dispose()`. A recorded function's result is copied. */
  keep<T>(tree: T & Tree<T>): T {
    if (this.internals.memory.current?.recording) {
      throw new RecordError(
        "keep() inside a recorded function would keep one call's tensor; return it instead",
      );
    }
    const { memory } = this.internals;
    return map(tree, (t) => {
      if (t.gpu !== this) throw new DeviceError("keep(): a tensor belongs to another gpu");
      t.check("keep()");
      if (!t.lease && t.storage.role !== "input") {
        memory.move(t.storage, null);
        return t;
      }
      const copy = memory.empty(t.shape, t.dtype, "keep()");
      memory.copy(t, copy);
      memory.move(copy.storage, null);
      return copy;
    });
  }

  /** Waits until the device has done all that was asked, and throws what failed. */
  sync(): Promise<void> {
    return this.internals.recorder.sync();
  }

  /**
   * Takes all pipelines of a recorded function through the compiler, for arguments of these shapes. Changes no state.
   * @throws KernelError if one does not compile.
   */
  compile<A extends readonly unknown[], R>(
    fn: Recorded<A, R>,
    args: Parameters<Recorded<A, R>>,
    onProgress?: (done: number, all: number) => void,
  ): Promise<void> {
    return compile(fn, args, onProgress);
  }

  /**
   * How long the device takes for what `fn` (synchronous) asks for, in seconds: by timestamps around its dispatches
   * where the adapter has them, else from the submit to the end. What `fn` makes is given back.
   */
  time(fn: () => unknown): Promise<Timing> {
    const { recorder, memory } = this.internals;
    if (memory.current?.recording) throw new RecordError("time() inside a recorded function");
    return recorder.time(() => void this.scope<void>(() => void fn()));
  }

  /** What was asked of the device since the start. */
  counts(): Counts {
    return this.internals.recorder.counts;
  }

  /** `memory().peakBytes` counts anew from what is in use now. */
  resetPeak(): void {
    this.internals.memory.pool.resetPeak();
  }

  /**
   * Runs `fn` (synchronous), gives back what it made, and says what it dispatched, in order; a recorded function's
   * kept list is part of it.
   */
  kernels(fn: () => unknown): DispatchInfo[] {
    const { recorder, memory } = this.internals;
    if (memory.current?.recording) throw new RecordError("kernels() inside a recorded function");
    const { commands } = recorder.collect(() => this.scope<void>(() => void fn()));
    recorder.play(commands); // a recording's first call must reach the device
    return commands.flatMap((c) => {
      if (c.kind !== "dispatch") return [];
      const { label, variant, knobs, workgroup } = c.kernel;
      return [{ kernel: label, variant, knobs, workgroup, grid: c.grid }];
    });
  }

  memory(): MemoryReport {
    const { memory, recorder } = this.internals;
    const alive = memory.persistent
      .map((s) => ({ op: s.label, bytes: s.bytes, ...(s.site && { site: s.site }) }))
      .sort((a, b) => b.bytes - a.bytes || (a.op < b.op ? -1 : 1));
    return {
      ...memory.pool.figures,
      imageBytes: recorder.images.bytes,
      ...recorder.pipelines.cached,
      alive,
    };
  }

  /** Gives all memory back and closes the device, unless the caller brought it. Throws what is still unreported. */
  async close(): Promise<void> {
    const { device, recorder, memory } = this.internals;
    const left = await recorder.drain().then(
      () => null,
      (error: Error) => error,
    );
    memory.pool.destroy();
    recorder.images.destroy();
    device.close();
    if (left && !(left instanceof DeviceLostError) && !/ is closed$/.test(left.message)) throw left;
  }
}
