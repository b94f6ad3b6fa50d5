// Who owns memory: what is made while a function runs belongs to that call, the rest to the user. Tensors are made here.
import { DeviceError, LimitError, RecordError } from "../errors.ts";
import { Pool, PrivatePool } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Image } from "../gpu/images.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Run } from "./dispatch.ts";
import type { Gpu } from "./gpu.ts";
import type { HostArray } from "./host.ts";
import { type DType, Scope, type Shape, type Storage, sizeOf, Tensor } from "./tensor.ts";
import { leaves } from "./tree.ts";

/** Bytes behind each buffer's request that stay untouched, in debug mode. */
const GUARD = 256;

export class Memory {
  readonly pool: Pool;
  /** The scope of the running function: set only while it runs, so no await can see another's. */
  current: Scope | null = null;
  /** Buffers from outside that the running recording uses. */
  externals: Set<Storage> | null = null;
  readonly #persistent = new Set<Storage>();
  #scratch: Tensor[] = [];
  readonly #one: Tensor;

  constructor(
    readonly gpu: Gpu,
    readonly device: Device,
    readonly recorder: Recorder,
    readonly debug: boolean,
  ) {
    this.pool = new Pool(
      (size, usage, label) =>
        device.watch(`a buffer of ${size} bytes`, () =>
          device.gpu.createBuffer({ size, usage, label }),
        ),
      () => recorder.idle,
      device.info.limits.maxBufferSize!,
      debug ? GUARD : 0,
    );
    this.#one = this.constant(Float32Array.of(1), [], "f32", "one");
  }

  /** What lives until its owner disposes it. */
  get persistent(): Storage[] {
    return [...this.#persistent].filter((s) => s !== this.#one.storage);
  }

  /** Memory in the running scope, or the caller's. */
  alloc(bytes: number, label: string, role: Storage["role"] = "plain"): Storage {
    const max = this.device.info.limits.maxStorageBufferBindingSize!;
    if (bytes > max) {
      throw new LimitError(
        `${label}: a tensor of ${bytes} bytes, the adapter binds at most ${max}`,
      );
    }
    this.device.check(label);
    // Inputs and constants of a recording are written ahead of its commands, which must not have used their memory.
    const running = this.current?.source ?? this.pool;
    const source = role !== "plain" && running instanceof PrivatePool ? running.parent : running;
    const buf = source.take(bytes);
    if (this.debug && role === "plain") {
      this.recorder.add({ kind: "poison", buffer: buf.gpu, bytes: buf.bytes });
    }
    const site = this.debug ? creationSite() : "";
    // A constant of a recording lasts as long as that does, whatever scope inside made it and whoever disposes it.
    const recording = role === "constant" ? this.#recording() : null;
    const scope = recording ?? this.current;
    const storage: Storage = {
      buf,
      bytes,
      label,
      source,
      site,
      role,
      scope,
      readers: recording ? 1 : 0,
      views: 1,
      ended: null,
    };
    (scope?.storages ?? this.#persistent).add(storage);
    return storage;
  }

  /** The scope of the running recording. */
  #recording(): Scope | null {
    let found: Scope | null = null;
    for (let s = this.current; s?.recording; s = s.parent) found = s;
    return found;
  }

  /** A flat buffer for `views` tensors. */
  arena(bytes: number, views: number, label: string): Storage {
    if (this.current?.recording) {
      throw new RecordError(
        `${label}: arenas cannot be made inside a recorded function; make them outside and capture them`,
      );
    }
    const storage = this.alloc(bytes, label, "arena");
    storage.views = views;
    return storage;
  }

  /** Memory of unknown content. */
  empty(shape: Shape, dtype: DType, label: string, role: Storage["role"] = "plain"): Tensor {
    return new Tensor(this.gpu, this.alloc(4 * sizeOf(shape), label, role), 0, shape, dtype);
  }

  /** Host data on the device. */
  constant(data: HostArray, shape: Shape, dtype: DType, label: string): Tensor {
    this.recorder.admit(data.byteLength, label);
    const t = this.empty(shape, dtype, label, "constant");
    this.upload(t, data);
    return t;
  }

  /** The seed of a backward pass; made at the start, since a recording would record its making. */
  one(shape: Shape): Tensor {
    return this.#one.view({ shape });
  }

  /** Memory for the running rule of an op. */
  scratch(shape: Shape, dtype: DType): Tensor {
    const t = this.empty(shape, dtype, "scratch");
    this.#scratch.push(t);
    return t;
  }

  release(storage: Storage, by: string): void {
    if (storage.ended !== null) return;
    storage.ended = by;
    (storage.scope?.storages ?? this.#persistent).delete(storage);
    storage.source.give(storage.buf);
  }

  releaseAll(scope: Scope, by: string): void {
    for (const storage of [...scope.storages]) this.release(storage, by);
  }

  move(storage: Storage, to: Scope | null): void {
    (storage.scope?.storages ?? this.#persistent).delete(storage);
    storage.scope = to;
    (to?.storages ?? this.#persistent).add(storage);
  }

  /** Writes into a tensor, from its element `at` on. */
  upload(t: Tensor, data: HostArray, at = 0): void {
    this.recorder.upload(t.storage.buf.gpu, t.byteOffset + 4 * at, data);
  }

  copy(from: Tensor, to: Tensor): void {
    this.recorder.add({
      kind: "copy",
      from: from.storage.buf.gpu,
      fromOffset: from.byteOffset,
      to: to.storage.buf.gpu,
      toOffset: to.byteOffset,
      bytes: from.bytes,
      captured: this.captures(from) + this.captures(to),
      reads: [from.storage],
      writes: [to.storage],
    });
  }

  draw(from: Tensor, image: Image): void {
    this.recorder.add({
      kind: "draw",
      from: from.storage.buf.gpu,
      fromOffset: from.byteOffset,
      image,
      quads: Math.ceil(from.size / 4),
      captured: this.captures(from),
      reads: [from.storage],
    });
  }

  clear(t: Tensor): void {
    const { buf } = t.storage;
    this.recorder.add({
      kind: "clear",
      buffer: buf.gpu,
      offset: t.byteOffset,
      bytes: t.bytes,
      captured: this.captures(t),
      writes: [t.storage],
    });
  }

  /** Notes a buffer from outside the running recording, and names the place in it. */
  captures({ storage, byteOffset }: Tensor): string {
    if (!this.current?.recording || storage.role === "input") return "";
    for (let s: Scope | null = this.current; s; s = s.parent)
      if (s.recording && s === storage.scope) return "";
    this.externals?.add(storage);
    return `${storage.buf.id}+${byteOffset},`;
  }

  /** A scope inside the running one. */
  inner(label: string): Scope {
    const outer = this.current;
    return new Scope(label, outer?.source ?? this.pool, outer, outer?.recording ?? false);
  }

  /** Runs `fn` in `scope`; what it returns, and what a tape still reads, goes to `heir`. */
  scoped<R>(scope: Scope, fn: () => R, heir: Scope | null): R {
    this.device.check(scope.label);
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
      kept = new Set(
        leaves(result).map(({ tensor }) => {
          if (tensor.gpu === this.gpu) return tensor.check(scope.label).storage;
          throw new DeviceError(`${scope.label}: returns a tensor of another gpu`);
        }),
      );
      return result;
    } finally {
      this.current = before;
      for (const s of [...scope.storages]) {
        if (kept && (kept.has(s) || s.readers > 0)) this.move(s, heir);
        else this.release(s, kept ? `the end of ${scope.label}` : `a failed ${scope.label}`);
      }
    }
  }

  /** Runs one rule of an op; its scratch memory ends with it. */
  rule(f: (run: Run) => void): void {
    const outer = this.#scratch;
    this.#scratch = [];
    try {
      f(this.gpu.dispatch);
    } finally {
      for (const t of this.#scratch) this.release(t.storage, "the op's end");
      this.#scratch = outer;
    }
  }
}

/** The first line of the stack that has a place and is outside this engine. */
function creationSite(): string {
  const lines = (new Error().stack ?? "").split("\n").slice(1);
  const own = /[/\\](src|dist)[/\\](core|ops|gpu|nn|optim|io|train)[/\\]/;
  return (lines.find((line) => /:\d+/.test(line) && !own.test(line)) ?? "").trim();
}
