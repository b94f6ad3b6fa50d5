// Commands in program order. Eager mode encodes the list once and drops it; a recording keeps it. Uploads are commands
// too: a queue.writeBuffer out of order would overwrite what earlier, unsubmitted work still reads.
import { LimitError, type NfgradError } from "../errors.ts";
import type { Command, Counts, Dispatch } from "./commands.ts";
import type { Device } from "./device.ts";
import { Encoder, type Timing } from "./encode.ts";
import { Images } from "./images.ts";
import { type Pipeline, Pipelines } from "./pipelines.ts";
import { warm } from "./warm.ts";

/** Submitted this often, so that the device starts while the rest is still being encoded. */
const FLUSH_EVERY = 128;
/** Kept lists no longer than this wait for more, as eager commands do: a submit costs as much as so many dispatches. */
const SHORT = 16;
/** Uploads from this size on cost more to copy into a command than a submit of what is before them. */
const LARGE = 2 ** 18;
/** Uploads that nothing has been awaited behind. Past this the host is far ahead of the device. */
const MAX_UPLOADS = 2 ** 30;
/** Staging copies are freed only at a submit, also at an empty one. */
const STAGED_BYTES = 64 * 2 ** 20;
const MAP_READ = 0x1;
const COPY_DST = 0x8;

export class Recorder {
  readonly pipelines: Pipelines;
  readonly images: Images;
  /** Bytes of uploads that may wait for the device; tests lower it. */
  maxUploads = MAX_UPLOADS;
  readonly #encoder: Encoder;
  #pending: Command[] = [];
  /** Where recorded calls lie in it. */
  #calls: { start: number; end: number }[] = [];
  /** Why a copy to this buffer was not made. */
  readonly #lost = new WeakMap<GPUBuffer, NfgradError>();
  /** Set while a function is being recorded: commands go here and nothing is submitted. */
  #tape: Command[] | null = null;
  /** Waits for pipelines that pending commands need. */
  #pump: Promise<void> | null = null;
  /** Submits what is pending as soon as the host has nothing else to do. */
  #timer: ReturnType<typeof setTimeout> | null = null;
  #uploaded = 0;
  #arrived = 0;
  #staged = 0;

  constructor(readonly device: Device) {
    this.pipelines = new Pipelines(device);
    this.images = new Images(device);
    this.#encoder = new Encoder(device);
  }

  get counts(): Counts {
    const { pipelines, bindGroups } = this.pipelines.counts;
    return { ...this.#encoder.tally, pipelines, bindGroups };
  }

  /** Nothing waits to be submitted. */
  get idle(): boolean {
    return this.#pending.length === 0;
  }

  add(command: Command): void {
    if (this.#tape) {
      this.#tape.push(command);
      return;
    }
    this.#pending.push(command);
    this.#added();
  }

  #added(): void {
    if (this.#pending.length >= FLUSH_EVERY) this.flush();
    else this.#timer ??= setTimeout(this.#late, 0);
  }

  readonly #late = (): void => {
    this.#timer = null;
    if (!this.device.gone) this.flush();
  };

  /** Collects what `fn` asks for; nothing of it reaches the device. */
  collect<R>(fn: () => R): { result: R; commands: Command[] } {
    const outer = this.#tape;
    const commands: Command[] = [];
    this.#tape = commands;
    try {
      return { result: fn(), commands };
    } finally {
      this.#tape = outer;
    }
  }

  /** Runs a kept list. Its commands must not change. */
  play(commands: readonly Command[]): void {
    if (this.#tape) {
      for (const c of commands) this.#tape.push(c);
      return;
    }
    const short = commands.length <= SHORT;
    const ready = (c: Command) => c.kind !== "dispatch" || c.pipeline.ready !== null;
    if (!short && !this.#pump && this.#pending.every(ready) && commands.every(ready)) {
      const before = this.#pending; // the arguments' copies: one submit with what they are for
      this.#pending = [];
      this.#calls = [];
      this.#encoder.encode([before, commands], FLUSH_EVERY);
      return;
    }
    if (!short) this.flush();
    const start = this.#pending.length;
    this.#calls.push({ start, end: start + commands.length });
    for (const c of commands) this.#pending.push(c);
    if (short) this.#added();
    else this.flush();
  }

  /** @throws LimitError if so many bytes more would wait for the device. */
  admit(bytes: number, what: string): void {
    const waiting = this.#uploaded - this.#arrived;
    if (waiting > 0 && waiting + bytes > this.maxUploads) {
      throw new LimitError(
        `${what}: ${waiting} bytes of uploads wait for the device and ${bytes} more would pass the limit ` +
          `of ${this.maxUploads}; await something every few steps, e.g. loss.item() or gpu.sync()`,
      );
    }
    this.#uploaded += bytes;
  }

  /** Copies `data` now, or into a command. */
  upload(buffer: GPUBuffer, offset: number, data: ArrayBufferView<ArrayBuffer>): void {
    if (data.byteLength >= LARGE) this.flush();
    if (!this.#tape && this.idle) {
      this.#write(buffer, offset, data);
      return;
    }
    const copy = new Uint8Array(data.byteLength);
    copy.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.add({ kind: "upload", buffer, offset, data: copy });
  }

  #write(buffer: GPUBuffer, offset: number, data: ArrayBufferView<ArrayBuffer>): void {
    this.device.check("upload");
    const { queue } = this.device.gpu;
    queue.writeBuffer(buffer, offset, data);
    this.#encoder.tally.uploads++;
    this.#staged += data.byteLength;
    if (this.#staged >= STAGED_BYTES) this.#unstage();
  }

  #unstage(): void {
    if (this.#staged > 0) this.device.gpu.queue.submit([]);
    this.#staged = 0;
  }

  /** Submits what it can now; while pipelines compile, the rest follows by itself, in order. */
  flush(): void {
    if (this.#tape || this.#pump || this.idle) return;
    const compiling = new Set<Promise<void>>();
    for (const c of this.#pending) {
      if (c.kind === "dispatch" && !c.pipeline.ready && !c.pipeline.failed)
        compiling.add(c.pipeline.compiled);
    }
    if (compiling.size > 0) {
      this.#pump = Promise.all(compiling)
        .then(() => {
          this.#pump = null;
          this.flush();
        })
        .catch((error: NfgradError) => this.device.report(error)); // a device lost meanwhile
      return;
    }
    const commands = this.#withoutFailed(this.#pending);
    this.#pending = [];
    this.#calls = [];
    this.#encoder.encode([commands], FLUSH_EVERY);
  }

  /**
   * What is left of commands one of which has a kernel that did not compile: all before its call (nothing of a call is
   * half done), and of the rest what depends on no kernel. Readbacks that are lost with it fail.
   */
  #withoutFailed(commands: readonly Command[]): readonly Command[] {
    const at = commands.findIndex((c) => c.kind === "dispatch" && c.pipeline.failed);
    if (at < 0) return commands;
    const error = (commands[at] as Dispatch).pipeline.failed!;
    this.device.report(error);
    const first = this.#calls.find(({ start, end }) => start <= at && at < end)?.start ?? at;
    const rest = commands.slice(first);
    for (const c of rest) if (c.kind === "copy") this.#lost.set(c.to, error);
    return [
      ...commands.slice(0, first),
      ...rest.filter((c) => c.kind !== "dispatch" && c.kind !== "copy"),
    ];
  }

  /** Waits until all has been submitted, and throws what failed. */
  async drain(): Promise<void> {
    this.flush();
    while (this.#pump) await this.#pump;
    await this.device.settle();
  }

  /** Copies of buffer ranges, one behind the other. The commands are added at once, the promise waits for them. */
  read(
    ranges: readonly { buffer: GPUBuffer; offset: number; bytes: number }[],
  ): Promise<ArrayBuffer> {
    const { gpu } = this.device;
    const most = gpu.limits.maxBufferSize; // a tensor is smaller, a model need not be
    const parts: { size: number; ranges: (typeof ranges)[number][] }[] = [];
    for (const range of ranges) {
      const last = parts.at(-1);
      if (!last || last.size + range.bytes > most)
        parts.push({ size: range.bytes, ranges: [range] });
      else {
        last.size += range.bytes;
        last.ranges.push(range);
      }
    }
    const stagings = parts.map(({ size, ranges }) => {
      const staging = this.device.watch("readback", () =>
        gpu.createBuffer({ size, usage: MAP_READ | COPY_DST, label: "readback" }),
      );
      let at = 0;
      for (const { buffer, offset, bytes } of ranges) {
        this.add({
          kind: "copy",
          from: buffer,
          fromOffset: offset,
          to: staging,
          toOffset: at,
          bytes,
          captured: "",
          reads: [buffer],
          writes: [staging],
        });
        at += bytes;
      }
      return staging;
    });
    return this.#fetch(stagings);
  }

  async #fetch(stagings: readonly GPUBuffer[]): Promise<ArrayBuffer> {
    const uploaded = this.#uploaded;
    try {
      await this.drain();
      for (const staging of stagings) {
        const error = this.#lost.get(staging); // another reader was told first
        if (error) throw error;
      }
      await this.device.wait(Promise.all(stagings.map((staging) => staging.mapAsync(MAP_READ))));
      this.#arrived = Math.max(this.#arrived, uploaded);
      const [first, ...more] = stagings.map((staging) => staging.getMappedRange());
      if (more.length === 0) return first!.slice(0);
      const all = new Uint8Array(stagings.reduce((n, { size }) => n + size, 0));
      let at = 0;
      for (const part of [first!, ...more]) {
        all.set(new Uint8Array(part), at);
        at += part.byteLength;
      }
      return all.buffer;
    } catch (cause) {
      throw await this.device.refused("readback", cause);
    } finally {
      for (const staging of stagings) staging.destroy();
    }
  }

  /** Takes pipelines through the compilers of browser and driver. */
  warm(
    pipelines: readonly Pipeline[],
    onProgress?: (done: number, all: number) => void,
  ): Promise<void> {
    return warm(this.device, this.images, pipelines, onProgress);
  }

  /** Collects the commands of `fn` and how long the device takes for them, alone. */
  async time(fn: () => void): Promise<Timing> {
    await this.sync();
    let { commands } = this.collect(fn);
    if (commands.some((c) => c.kind === "dispatch" && !c.pipeline.ready)) {
      this.play(commands);
      await this.sync(); // a kernel that does not compile throws here
      ({ commands } = this.collect(fn));
    }
    return this.#encoder.time(commands);
  }

  /** Waits until the device has done all. */
  async sync(): Promise<void> {
    const uploaded = this.#uploaded;
    this.flush();
    while (this.#pump) await this.#pump;
    this.#unstage();
    // Asked for before errors are waited for: each waiting is a turn of the event loop.
    const done = this.device.gpu.queue.onSubmittedWorkDone();
    await this.device.wait(Promise.all([done, this.device.settle(), this.device.alive("sync")]));
    this.#arrived = Math.max(this.#arrived, uploaded);
    await this.device.settle();
  }
}
