// Buffers by size class, given out again and again. Knows nothing of tensors.

/** A pooled buffer. Its `id` is never used again, so caches keyed by it cannot go wrong. */
export interface Buf {
  readonly gpu: GPUBuffer;
  readonly bytes: number;
  readonly id: number;
}
export interface BufferSource {
  take(bytes: number): Buf;
  give(buf: Buf): void;
}

/** What a pool holds. In steady state these figures do not change from step to step. */
export interface PoolFigures {
  /** Buffers made since the start. */
  created: number;
  /** Buffers in use, and waiting to be used again. */
  live: number;
  free: number;
  /** Bytes of all of them, and of those in use. */
  bytes: number;
  liveBytes: number;
  /** The most bytes in use at once since the start, or since `resetPeak`. */
  peakBytes: number;
}

// GPUBufferUsage's bits: the global does not exist in Node.
const STORAGE_AND_COPIES = 0x80 | 0x4 | 0x8;

/** Free buffers, at least this many bytes and more than what is in use, are destroyed before a new one is made. */
const SPARE_BYTES = 256 * 2 ** 20;

/** A multiple of 256 at most 1/8 above the request, so that near sizes share buffers. */
export function sizeClass(bytes: number): number {
  const step = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1))) / 8);
  return Math.ceil(Math.max(bytes, 1) / step) * step;
}

/** Lowest id first: equal takes and gives get equal buffers every step, so cached bind groups hit. */
class FreeList {
  readonly #bySize = new Map<number, Buf[]>();

  take(size: number): Buf | undefined {
    return this.#bySize.get(size)?.pop();
  }

  give(buf: Buf): void {
    let list = this.#bySize.get(buf.bytes);
    if (!list) {
      list = [];
      this.#bySize.set(buf.bytes, list);
    }
    let at = list.length;
    while (at > 0 && list[at - 1]!.id < buf.id) at--;
    list.splice(at, 0, buf);
  }

  /** Takes all out. */
  drain(): Buf[] {
    const all = [...this.#bySize.values()].flat();
    this.#bySize.clear();
    return all;
  }
}

/** The pool of a device. */
export class Pool implements BufferSource {
  readonly figures: PoolFigures = {
    created: 0,
    live: 0,
    free: 0,
    bytes: 0,
    liveBytes: 0,
    peakBytes: 0,
  };
  readonly #free = new FreeList();
  readonly #all = new Set<Buf>();
  #nextId = 1;

  /**
   * `create` makes a buffer and watches for errors; `idle` says whether no unsubmitted command can name a free
   * buffer; `guard` bytes are added behind each request.
   */
  constructor(
    readonly create: (size: number, usage: number, label: string) => GPUBuffer,
    readonly idle: () => boolean,
    readonly maxBytes: number,
    readonly guard: number,
  ) {}

  /** The size of the buffer that a request gets. */
  sizeFor(bytes: number): number {
    const wanted = bytes + this.guard;
    // SwiftShader names a largest size that it has no buffer of.
    return Math.min(sizeClass(wanted), Math.max(wanted, this.maxBytes - 256));
  }

  take(bytes: number): Buf {
    const size = this.sizeFor(bytes);
    let buf = this.#free.take(size);
    if (buf) {
      this.figures.free--;
    } else {
      this.#trim();
      const id = this.#nextId++;
      buf = { gpu: this.create(size, STORAGE_AND_COPIES, `pool ${id}`), bytes: size, id };
      this.#all.add(buf);
      this.figures.created++;
      this.figures.bytes += size;
    }
    this.figures.live++;
    this.figures.liveBytes += buf.bytes;
    this.figures.peakBytes = Math.max(this.figures.peakBytes, this.figures.liveBytes);
    return buf;
  }

  give(buf: Buf): void {
    this.#free.give(buf);
    this.figures.live--;
    this.figures.liveBytes -= buf.bytes;
    this.figures.free++;
  }

  /** From now on the peak is of what comes. */
  resetPeak(): void {
    this.figures.peakBytes = this.figures.liveBytes;
  }

  /** Models come and go in a long session; what they used must not stay for ever. */
  #trim(): void {
    const { bytes, liveBytes } = this.figures;
    if (bytes - liveBytes <= Math.max(SPARE_BYTES, liveBytes) || !this.idle()) return;
    for (const buf of this.#free.drain()) {
      buf.gpu.destroy();
      this.#all.delete(buf);
      this.figures.free--;
      this.figures.bytes -= buf.bytes;
    }
  }

  destroy(): void {
    for (const buf of this.#all) buf.gpu.destroy();
    this.#all.clear();
  }
}

/** What recordings of one function allocate from: buffers circulate inside it and come back only at `close`. */
export class PrivatePool implements BufferSource {
  readonly #free = new FreeList();
  readonly #all = new Set<Buf>();
  readonly #busy = new Set<Buf>();
  readonly #held = new Set<Buf>();
  constructor(readonly parent: Pool) {}

  take(bytes: number): Buf {
    let buf = this.#free.take(this.parent.sizeFor(bytes));
    if (!buf) {
      buf = this.parent.take(bytes);
      this.#all.add(buf);
    }
    this.#busy.add(buf);
    return buf;
  }

  /** Also a result stays in here: commands of another recording may name its buffer. */
  give(buf: Buf): void {
    this.#held.delete(buf);
    if (this.#busy.delete(buf)) this.#free.give(buf);
  }

  /** Takes a result's buffer out of circulation until it is given back. */
  hold(buf: Buf): void {
    if (this.#all.has(buf)) this.#held.add(buf);
  }

  /** Another recording of the same function may use the same memory: only one runs at a time. */
  rewind(): void {
    for (const buf of [...this.#busy]) if (!this.#held.has(buf)) this.give(buf);
  }

  close(): void {
    for (const buf of this.#all) this.parent.give(buf);
    for (const set of [this.#all, this.#busy, this.#held]) set.clear();
    this.#free.drain();
  }
}
