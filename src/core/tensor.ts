// A tensor is a typed view of pooled memory. It knows who owns that memory and, inside a gradient, its place on a tape.
import { ReleasedError, ShapeError } from "../errors.ts";
import type { Buf, BufferSource } from "../gpu/buffers.ts";
import type { Gpu } from "./gpu.ts";
import type { Tape } from "./tape.ts";

export type DType = "f32" | "u32";
export type Shape = readonly number[];
export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** Memory that tensors look at. */
export interface Storage {
  readonly buf: Buf;
  readonly bytes: number;
  /** What made it: an op's name, "tensor", "params". */
  readonly label: string;
  readonly source: BufferSource;
  /** Where it was made, in debug mode. */
  readonly site: string;
  /** Who gives it back; null: the user, by dispose(). */
  scope: Scope | null;
  /** Tape entries, and running calls, that still need it. */
  readers: number;
  /** A recording's input is read-only; an arena is disposed as a whole; host data is written once. */
  role: "plain" | "input" | "arena" | "constant";
  /** Tensors that lie in it: an arena's leaves, an op's list. */
  views: number;
  /** What gave it back; null while it is alive. */
  ended: string | null;
}

/** What is made while a function runs; at its end only what it returns is left. */
export class Scope {
  readonly storages = new Set<Storage>();
  constructor(
    readonly label: string,
    readonly source: BufferSource,
    readonly parent: Scope | null,
    readonly recording: boolean,
  ) {}
}

/** A recorded function's result lasts until its next call. */
export interface Lease {
  valid: boolean;
  readonly of: string;
}

/** A place on a tape. */
export interface Node {
  readonly tape: Tape;
  readonly id: number;
}

/**
 * An array on the device: f32 or u32, C order, NHWC for images, HWIO for convolution weights. Made by `gpu.tensor`,
 * `gpu.init` and ops; never by `new`.
 */
export class Tensor {
  /** Number of elements. */
  readonly size: number;

  /** @internal */
  constructor(
    readonly gpu: Gpu,
    /** @internal */
    readonly storage: Storage,
    /** Where the tensor begins in its buffer; a multiple of 256. */
    readonly byteOffset: number,
    readonly shape: Shape,
    readonly dtype: DType,
    /** @internal */
    readonly node: Node | null = null,
    /** @internal */
    readonly lease: Lease | null = null,
  ) {
    this.size = sizeOf(shape);
  }

  /** The buffer that this tensor is a view of; for debugging and for kernels of one's own. */
  get buffer(): Buf {
    return this.storage.buf;
  }

  get bytes(): number {
    return 4 * this.size;
  }

  /** @internal Throws if the memory is gone; `user` wants it. */
  check(user: string): this {
    const { ended, label } = this.storage;
    if (this.lease && !this.lease.valid) {
      throw new ReleasedError(
        `${user}: this result [${this.shape}] of ${this.lease.of} was replaced by its next call; ` +
          "read it before that, or keep() it",
      );
    }
    if (ended !== null) {
      throw new ReleasedError(
        `${user}: the tensor [${this.shape}] of ${label} was released by ${ended}; ` +
          "return it from there, or keep() it",
      );
    }
    return this;
  }

  /** @internal The same memory in another role: on a tape, off it, leased, or with another shape. */
  view(change: { shape?: Shape; node?: Node | null; lease?: Lease | null }): Tensor {
    const { shape = this.shape, node = this.node, lease = this.lease } = change;
    return new Tensor(this.gpu, this.storage, this.byteOffset, shape, this.dtype, node, lease);
  }

  /**
   * The values. The copy is queued at once, so later writes do not change it.
   * @throws ReleasedError, RecordError (inside a recording), DeviceError, or what earlier calls failed with.
   */
  data(): Promise<Float32Array | Uint32Array> {
    this.check("data()");
    return this.gpu.read<Tensor>(this).then(({ data }) => data);
  }

  /** The value of a tensor of one element. */
  item(): Promise<number> {
    if (this.size !== 1) {
      throw new ShapeError(`item(): expected one element, the tensor is [${this.shape}]`);
    }
    return this.data().then((values) => values[0]!);
  }

  /**
   * Gives the memory back. A recorded function's result only ends its lease; what a tape still reads goes with the tape.
   * @throws ReleasedError for one leaf of an arena, or one of an op's list: dispose the whole tree with `tree.dispose`.
   */
  dispose(): void {
    const { storage, lease } = this;
    if (lease) lease.valid = false;
    else if (storage.views > 1) {
      throw new ReleasedError(
        `dispose(): the tensor [${this.shape}] of ${storage.label} lies in an arena with ${storage.views - 1} more; use tree.dispose on all of them`,
      );
    } else if (storage.readers === 0) this.gpu.internals.memory.release(storage, "dispose()");
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
