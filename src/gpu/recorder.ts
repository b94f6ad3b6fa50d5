// Commands in program order. Eager mode encodes the list once and drops it; a recording keeps it. Uploads are commands
// too: a queue.writeBuffer out of order would overwrite what earlier, unsubmitted work still reads.
import { DeviceError, LimitError, NfgradError } from "../errors.ts";
import type { Command, Counts, Dispatch } from "./commands.ts";
import type { Device } from "./device.ts";
import { Pipelines } from "./pipelines.ts";

/** Submitted this often, so that the device starts while the rest is still being encoded. */
const FLUSH_EVERY = 128;
/** Uploads that nothing has been awaited behind. Past this the host is far ahead of the device. */
const MAX_UPLOADS = 2 ** 30;
/** Staging copies are freed only at a submit, also at an empty one. */
const STAGED_BYTES = 64 * 2 ** 20;
const MAP_READ = 0x1;
const COPY_DST = 0x8;
const COPY = 0x4 | COPY_DST;
/** The quiet NaN that fresh memory holds in debug mode. */
export const POISON = 0x7fc00000;
const POISON_BYTES = 2 ** 20;

export class Recorder {
  readonly pipelines: Pipelines;
  /** Bytes of uploads that may wait for the device; tests lower it. */
  maxUploads = MAX_UPLOADS;
  readonly #counts = { dispatches: 0, copies: 0, uploads: 0, submits: 0 };
  #pending: Command[] = [];
  /** Where recorded calls lie in it. */
  #calls: { start: number; end: number }[] = [];
  /** Why a copy to this buffer was not made. */
  readonly #lost = new WeakMap<GPUBuffer, NfgradError>();
  /** Set while a function is being recorded: commands go here and nothing is submitted. */
  #tape: Command[] | null = null;
  /** Waits for pipelines that pending commands need. */
  #pump: Promise<void> | null = null;
  #uploaded = 0;
  #arrived = 0;
  #staged = 0;
  #poison: GPUBuffer | null = null;

  constructor(readonly device: Device) {
    this.pipelines = new Pipelines(device);
  }

  get counts(): Counts {
    const { pipelines, bindGroups } = this.pipelines.counts;
    return { ...this.#counts, pipelines, bindGroups };
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
    if (this.#pending.length >= FLUSH_EVERY) this.flush();
  }

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
    this.flush();
    if (this.idle && commands.every((c) => c.kind !== "dispatch" || c.pipeline.ready)) {
      this.#encode(commands);
      return;
    }
    this.#calls.push({ start: this.#pending.length, end: this.#pending.length + commands.length });
    for (const c of commands) this.#pending.push(c);
    this.flush();
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
    this.#counts.uploads++;
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
    this.#encode(commands);
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

  #encode(commands: readonly Command[]): void {
    this.device.check("submit");
    this.device.watch("submit", () => {
      const { gpu } = this.device;
      let encoder: GPUCommandEncoder | null = null;
      let pass: GPUComputePassEncoder | null = null;
      let last: GPUComputePipeline | null = null;
      let dispatches = 0;
      const submit = () => {
        pass?.end();
        pass = null;
        if (encoder) {
          gpu.queue.submit([encoder.finish()]);
          this.#counts.submits++;
        }
        encoder = null;
        dispatches = 0;
      };
      for (const c of commands) {
        if (c.kind === "upload") {
          submit();
          gpu.queue.writeBuffer(c.buffer, c.offset, c.data);
          this.#counts.uploads++;
          continue;
        }
        encoder ??= gpu.createCommandEncoder();
        if (c.kind === "dispatch") {
          if (!pass) {
            pass = encoder.beginComputePass();
            last = null;
          }
          if (c.pipeline.ready !== last) {
            last = c.pipeline.ready!;
            pass.setPipeline(last);
          }
          pass.setBindGroup(0, c.group);
          pass.dispatchWorkgroups(c.grid[0], c.grid[1], c.grid[2]);
          this.#counts.dispatches++;
          if (++dispatches === FLUSH_EVERY) submit();
          continue;
        }
        pass?.end();
        pass = null;
        if (c.kind === "copy") {
          encoder.copyBufferToBuffer(c.from, c.fromOffset, c.to, c.toOffset, c.bytes);
          this.#counts.copies++;
        } else if (c.kind === "clear") {
          encoder.clearBuffer(c.buffer, c.offset, c.bytes);
          this.#counts.copies++;
        } else {
          const from = this.#poisoned();
          for (let at = 0; at < c.bytes; at += POISON_BYTES) {
            encoder.copyBufferToBuffer(from, 0, c.buffer, at, Math.min(POISON_BYTES, c.bytes - at));
          }
        }
      }
      submit();
    });
  }

  #poisoned(): GPUBuffer {
    if (this.#poison) return this.#poison;
    const { gpu } = this.device;
    this.#poison = gpu.createBuffer({ size: POISON_BYTES, usage: COPY, label: "poison" });
    gpu.queue.writeBuffer(this.#poison, 0, new Uint32Array(POISON_BYTES / 4).fill(POISON));
    return this.#poison;
  }

  /** Copies of buffer ranges, one behind the other. The commands are added at once, the promise waits for them. */
  read(
    ranges: readonly { buffer: GPUBuffer; offset: number; bytes: number }[],
  ): Promise<ArrayBuffer> {
    const size = ranges.reduce((n, r) => n + r.bytes, 0);
    const { gpu } = this.device;
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
      });
      at += bytes;
    }
    return this.#fetch(staging);
  }

  async #fetch(staging: GPUBuffer): Promise<ArrayBuffer> {
    const uploaded = this.#uploaded;
    try {
      await this.drain();
      const error = this.#lost.get(staging); // another reader was told first
      if (error) throw error;
      await staging.mapAsync(MAP_READ);
      this.#arrived = Math.max(this.#arrived, uploaded);
      return staging.getMappedRange().slice(0);
    } catch (cause) {
      if (cause instanceof NfgradError) throw cause;
      this.device.check("readback");
      throw new DeviceError(`readback: ${(cause as Error).message}`, { cause });
    } finally {
      staging.destroy();
    }
  }

  /** Waits until the device has done all. */
  async sync(): Promise<void> {
    const uploaded = this.#uploaded;
    await this.drain();
    this.#unstage();
    await this.device.gpu.queue.onSubmittedWorkDone();
    this.#arrived = Math.max(this.#arrived, uploaded);
    await this.device.settle();
  }
}
