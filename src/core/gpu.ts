// The user's handle: memory, scopes, and the way from host data to the device and back. Knows no op by name.
import { DeviceLostError, LimitError, RecordError } from "../errors.ts";
import { type BufferSource, Pool, PrivatePool } from "../gpu/buffers.ts";
import type { AdapterInfo, Device } from "../gpu/device.ts";
import { type Counts, Recorder } from "../gpu/recorder.ts";
import { type Assign, assign } from "./assign.ts";
import { dispatch, type Run } from "./dispatch.ts";
import { checkHost, dtypeOf, type Host, type HostArray, type HostTree, isHost } from "./host.ts";
import { type InitOptions, init, type Params, type SpecTree } from "./init.ts";
import { compile, type Recordable, type Recorded, type RecordOptions, record } from "./record.ts";
import { type DType, Scope, type Shape, type Storage, sizeOf, Tensor } from "./tensor.ts";
import { leaves, map, type Tree } from "./tree.ts";
import { isTensor, replace } from "./walk.ts";

/** What is on the device. In steady state all of it stands still. */
export interface MemoryReport {
  /** Buffers in use and waiting to be used again, and those made since the start. */
  readonly live: number;
  readonly free: number;
  readonly created: number;
  /** Bytes in use, and of all buffers. */
  readonly liveBytes: number;
  readonly bytes: number;
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

/** Bytes behind each buffer's request that stay untouched, in debug mode. */
const GUARD = 256;

/** An adapter opened for work. Made by `openGpu`. */
export class Gpu {
  /** @internal */
  readonly internals: { readonly device: Device; readonly recorder: Recorder };
  /** @internal */
  readonly pool: Pool;
  /** @internal The scope of the running function: set only while it runs, so no await can see another's. */
  current: Scope | null = null;
  /** @internal Buffers from outside that the running recording uses. */
  externals: Set<Storage> | null = null;
  /** Adds one kernel to the device's work: what an op's rules get as `run`. Writes nothing on a tape. */
  readonly dispatch: Run;
  readonly #persistent = new Set<Storage>();
  readonly #one: Tensor;
  #scratch: Tensor[] = [];

  /** @internal */
  constructor(
    device: Device,
    readonly debug: boolean,
  ) {
    const recorder = new Recorder(device);
    this.internals = { device, recorder };
    this.pool = new Pool(
      (size, usage, label) =>
        device.watch(`a buffer of ${size} bytes`, () =>
          device.gpu.createBuffer({ size, usage, label }),
        ),
      () => recorder.idle,
      device.info.limits.maxBufferSize!,
      debug ? GUARD : 0,
    );
    const run = (...[kernel, tensors, params, threads]: Parameters<Run>) =>
      dispatch(this, kernel, tensors, params, threads);
    this.dispatch = Object.assign(run, {
      scratch: (shape: Shape, dtype: DType = "f32") => {
        const t = this.empty(shape, dtype, "scratch");
        this.#scratch.push(t);
        return t;
      },
      adapter: device.info,
    });
    this.#one = this.tensor([1], []);
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
    const t = this.#place(host.shape, dtypeOf(host.data), "tensor", "constant");
    this.upload(t, host.data);
    return t;
  }

  /** Zeros: yours outside any function. */
  zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    const t = this.empty(shape, dtype, "zeros");
    this.clear(t);
    return t;
  }

  /** Zeros of the shapes of a tree, in arenas of its layout: an optimizer's state. Yours. */
  zerosLike<T>(tree: T & Tree<T>): T {
    const arenas = new Map<Storage, Storage>();
    return map(tree, (t) => {
      if (t.storage.role !== "arena") return this.zeros(t.shape, t.dtype);
      let storage = arenas.get(t.storage);
      if (!storage) {
        storage = this.arena(t.storage.bytes, t.storage.views, "zerosLike");
        arenas.set(t.storage, storage);
        this.clear(new Tensor(this, storage, 0, [storage.bytes / 4], t.dtype));
      }
      return new Tensor(this, storage, t.byteOffset, t.shape, t.dtype);
    });
  }

  /**
   * The parameters of a specification, in flat arenas, with the values that Haiku's `init` gives for
   * `PRNGKey(seed)`. Yours; `tree.dispose` gives them back.
   */
  init<const S extends SpecTree>(spec: S, options: InitOptions = {}): Params<S> {
    if (this.current?.recording) {
      throw new RecordError(
        "init() inside a recorded function; make parameters outside and capture them",
      );
    }
    return init(this, spec, options);
  }

  /**
   * Writes values into tensors that exist, so that recordings that captured them go on. Names and shapes are checked
   * first. Inside a recording it is part of it. Leaves that have yet to be read make it a promise.
   */
  readonly assign = ((to: unknown, from: unknown) => assign(this, to, from)) as Assign;

  /** A whole tree in one readback: the same tree with host arrays. The copies are queued at once. */
  read<T>(tree: T & Tree<T>): Promise<HostTree<T>> {
    const found = leaves(tree).map(({ tensor }) => tensor.check("read"));
    if (this.current?.recording) {
      throw new RecordError(
        "a readback inside a recorded function; return the tensor and read it outside",
      );
    }
    this.internals.device.check("read");
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
    const parent = this.current;
    const scope = new Scope(
      "gpu.scope",
      parent?.source ?? this.pool,
      parent,
      parent?.recording ?? false,
    );
    return this.scoped(scope, fn, parent);
  }

  /** Makes tensors yours: they live until `dispose()`. A recorded function's result is copied. */
  keep<T>(tree: T & Tree<T>): T {
    if (this.current?.recording) {
      throw new RecordError(
        "keep() inside a recorded function would keep one call's tensor; return it instead",
      );
    }
    return map(tree, (t) => {
      t.check("keep()");
      if (!t.lease && t.storage.role !== "input") {
        this.#move(t.storage, null);
        return t;
      }
      const copy = this.empty(t.shape, t.dtype, "keep()");
      this.copy(t, copy);
      this.#move(copy.storage, null);
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

  /** What was asked of the device since the start. */
  counts(): Counts {
    return this.internals.recorder.counts;
  }

  memory(): MemoryReport {
    const { live, free, created, liveBytes, bytes } = this.pool.figures;
    const alive = [...this.#persistent]
      .filter((s) => s !== this.#one.storage)
      .map((s) => ({ op: s.label, bytes: s.bytes, ...(s.site ? { site: s.site } : {}) }))
      .sort((a, b) => b.bytes - a.bytes || (a.op < b.op ? -1 : 1));
    return {
      live,
      free,
      created,
      liveBytes,
      bytes,
      ...this.internals.recorder.pipelines.cached,
      alive,
    };
  }

  /** Gives all memory back and closes the device, unless the caller brought it. Throws what is still unreported. */
  async close(): Promise<void> {
    const { device, recorder } = this.internals;
    const left = await recorder.drain().then(
      () => null,
      (error: Error) => error,
    );
    this.pool.destroy();
    device.close();
    if (left && !(left instanceof DeviceLostError) && !/ is closed$/.test(left.message)) throw left;
  }

  // ---- what the rest of core uses ----

  /** @internal Memory in the running scope, or the caller's. */
  alloc(bytes: number, label: string, role: Storage["role"] = "plain"): Storage {
    const max = this.info.limits.maxStorageBufferBindingSize!;
    if (bytes > max) {
      throw new LimitError(
        `${label}: a tensor of ${bytes} bytes, the adapter binds at most ${max}`,
      );
    }
    this.internals.device.check(label);
    const source: BufferSource = this.current?.source ?? this.pool;
    const buf = source.take(bytes);
    // Inputs and constants of a recording are written once for many replays: nobody else may have their memory.
    if (source instanceof PrivatePool && role !== "plain") source.detach(buf);
    if (this.debug && role === "plain") {
      this.internals.recorder.add({ kind: "poison", buffer: buf.gpu, bytes: buf.bytes });
    }
    const site = this.debug ? creationSite() : "";
    const storage: Storage = {
      buf,
      bytes,
      label,
      source,
      site,
      role,
      scope: this.current,
      readers: 0,
      views: 1,
      ended: null,
    };
    (this.current?.storages ?? this.#persistent).add(storage);
    return storage;
  }

  /** @internal An arena of the caller's. */
  arena(bytes: number, views: number, label: string): Storage {
    const before = this.current;
    this.current = null;
    try {
      const storage = this.alloc(bytes, label, "arena");
      storage.views = views;
      return storage;
    } finally {
      this.current = before;
    }
  }

  #place(shape: Shape, dtype: DType, label: string, role: Storage["role"]): Tensor {
    return new Tensor(this, this.alloc(4 * sizeOf(shape), label, role), 0, shape, dtype);
  }

  /** @internal Memory of unknown content. */
  empty(shape: Shape, dtype: DType, label: string): Tensor {
    return this.#place(shape, dtype, label, "plain");
  }

  /** @internal The memory of a recording's argument. */
  input(host: { shape: Shape; dtype: DType }, label: string): Tensor {
    return this.#place(host.shape, host.dtype, label, "input");
  }

  /** @internal The seed of a backward pass; made at the start, since a recording would record its making. */
  one(shape: Shape): Tensor {
    return this.#one.view({ shape });
  }

  /** @internal */
  release(storage: Storage, by: string): void {
    if (storage.ended !== null) return;
    storage.ended = by;
    (storage.scope?.storages ?? this.#persistent).delete(storage);
    storage.source.give(storage.buf);
  }

  /** @internal */
  releaseAll(scope: Scope, by: string): void {
    for (const storage of [...scope.storages]) this.release(storage, by);
  }

  #move(storage: Storage, to: Scope | null): void {
    (storage.scope?.storages ?? this.#persistent).delete(storage);
    storage.scope = to;
    (to?.storages ?? this.#persistent).add(storage);
  }

  /** @internal */
  upload(t: Tensor, data: HostArray): void {
    this.internals.recorder.upload(t.storage.buf.gpu, t.byteOffset, data, t.storage.label);
  }

  /** @internal Lets the device take what was uploaded. */
  flushUploads(): void {
    this.internals.recorder.flush();
    this.internals.recorder.submitNothing();
  }

  /** @internal */
  copy(from: Tensor, to: Tensor): void {
    this.internals.recorder.add({
      kind: "copy",
      from: from.storage.buf.gpu,
      fromOffset: from.byteOffset,
      to: to.storage.buf.gpu,
      toOffset: to.byteOffset,
      bytes: from.bytes,
      captured: this.captures(from.storage) + this.captures(to.storage),
    });
  }

  /** @internal */
  clear(t: Tensor): void {
    const { buf } = t.storage;
    this.internals.recorder.add({
      kind: "clear",
      buffer: buf.gpu,
      offset: t.byteOffset,
      bytes: t.bytes,
    });
  }

  /** @internal Notes a buffer from outside the running recording, and names it. */
  captures(storage: Storage): string {
    if (!this.current?.recording || storage.role === "input") return "";
    for (let s: Scope | null = this.current; s; s = s.parent)
      if (s.recording && s === storage.scope) return "";
    this.externals?.add(storage);
    return `${storage.buf.id},`;
  }

  /** @internal Runs `fn` in `scope`; what it returns, and what a tape still reads, goes to `heir`. */
  scoped<R>(scope: Scope, fn: () => R, heir: Scope | null): R {
    this.internals.device.check(scope.label);
    const before = this.current;
    this.current = scope;
    let kept: Set<Storage> | null = null;
    try {
      const result = fn();
      if (result instanceof Promise) {
        result.catch(() => {}); // its error would be reported as unhandled
        throw new RecordError(
          `${scope.label}: the function is async; compute inside, await outside`,
        );
      }
      kept = new Set(leaves(result).map(({ tensor }) => tensor.check(scope.label).storage));
      return result;
    } finally {
      this.current = before;
      for (const s of [...scope.storages]) {
        if (kept && (kept.has(s) || s.readers > 0)) this.#move(s, heir);
        else this.release(s, kept ? `the end of ${scope.label}` : `a failed ${scope.label}`);
      }
    }
  }

  /** @internal Runs one rule of an op; its scratch memory ends with it. */
  rule(f: (run: Run) => void): void {
    const outer = this.#scratch;
    this.#scratch = [];
    try {
      f(this.dispatch);
    } finally {
      for (const t of this.#scratch) this.release(t.storage, "the op's end");
      this.#scratch = outer;
    }
  }
}

/** The first line of the stack outside this engine. */
function creationSite(): string {
  const lines = (new Error().stack ?? "").split("\n").slice(1);
  const own = /[/\\](src|dist)[/\\](core|ops|gpu|nn|optim|io|train)[/\\]/;
  return (lines.find((line) => !own.test(line)) ?? "").trim();
}
