// From commands to the device: passes, copies and submits, and how long they took. Keeps no list; that is recorder.ts.
import type { Command } from "./commands.ts";
import type { Device } from "./device.ts";
import { draw } from "./images.ts";

interface Tally {
  dispatches: number;
  copies: number;
  uploads: number;
  submits: number;
}

/** A time on the device. `host`: from the submit to the end, for adapters without timestamps. */
export interface Timing {
  readonly seconds: number;
  readonly clock: "timestamp" | "host";
}

const MAP_READ = 0x1;
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const COPY = COPY_SRC | COPY_DST;
/** The quiet NaN that fresh memory holds in debug mode. */
export const POISON = 0x7fc00000;
const POISON_BYTES = 2 ** 20;

export class Encoder {
  readonly tally: Tally = { dispatches: 0, copies: 0, uploads: 0, submits: 0 };
  #poison: GPUBuffer | null = null;

  constructor(readonly device: Device) {}

  /** Submits commands, after every `every` dispatches and at the end. `stamps` are for the n-th pass. */
  encode(
    lists: readonly (readonly Command[])[],
    every: number,
    stamps?: (pass: number) => GPUComputePassTimestampWrites | null,
  ): void {
    this.device.check("submit");
    this.device.watch("submit", () => {
      const { gpu } = this.device;
      const { tally } = this;
      let encoder: GPUCommandEncoder | null = null;
      let pass: GPUComputePassEncoder | null = null;
      let last: GPUComputePipeline | null = null;
      let passes = 0;
      let dispatches = 0;
      const submit = () => {
        pass?.end();
        pass = null;
        if (encoder) {
          gpu.queue.submit([encoder.finish()]);
          tally.submits++;
        }
        encoder = null;
        dispatches = 0;
      };
      const begin = (on: GPUCommandEncoder) => {
        const timestampWrites = stamps?.(passes++);
        last = null;
        return on.beginComputePass(timestampWrites ? { timestampWrites } : undefined);
      };
      const add = (c: Command) => {
        if (c.kind === "upload") {
          submit();
          gpu.queue.writeBuffer(c.buffer, c.offset, c.data);
          tally.uploads++;
          return;
        }
        encoder ??= gpu.createCommandEncoder();
        if (c.kind === "dispatch") {
          pass ??= begin(encoder);
          if (c.pipeline.ready !== last) {
            last = c.pipeline.ready!;
            pass.setPipeline(last);
          }
          pass.setBindGroup(0, c.group);
          if (c.grid[1] === 1 && c.grid[2] === 1)
            pass.dispatchWorkgroups(c.grid[0]); // what is left out costs nothing
          else pass.dispatchWorkgroups(c.grid[0], c.grid[1], c.grid[2]);
          tally.dispatches++;
          if (++dispatches === every) submit();
          return;
        }
        if (c.kind === "draw" && stamps && passes === 0) pass = begin(encoder); // the clock starts here
        pass?.end();
        pass = null;
        if (c.kind === "copy") {
          encoder.copyBufferToBuffer(c.from, c.fromOffset, c.to, c.toOffset, c.bytes);
          tally.copies++;
        } else if (c.kind === "draw") {
          draw(encoder, c);
          tally.copies++;
        } else if (c.kind === "clear") {
          encoder.clearBuffer(c.buffer, c.offset, c.bytes);
          tally.copies++;
        } else {
          const from = this.#poisoned();
          for (let at = 0; at < c.bytes; at += POISON_BYTES) {
            encoder.copyBufferToBuffer(from, 0, c.buffer, at, Math.min(POISON_BYTES, c.bytes - at));
          }
        }
      };
      for (const commands of lists) for (const c of commands) add(c);
      submit();
    });
  }

  /**
   * Submits `commands`, whose pipelines are ready, and waits. Timestamps lie around the first and last dispatch, with
   * the images that they read: other copies before and behind them do not count.
   */
  async time(commands: readonly Command[]): Promise<Timing> {
    const first = commands.findIndex((c) => c.kind === "dispatch" || c.kind === "draw");
    const passes = commands.filter(
      (c, i) => i === first || (c.kind === "dispatch" && commands[i - 1]?.kind !== "dispatch"),
    ).length;
    const { gpu, info } = this.device;
    if (passes === 0 || !info.features.has("timestamp-query")) {
      const started = performance.now();
      this.encode([commands], Number.POSITIVE_INFINITY);
      await this.device.wait(gpu.queue.onSubmittedWorkDone());
      return { seconds: (performance.now() - started) / 1000, clock: "host" };
    }
    const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 });
    const resolved = gpu.createBuffer({ size: 16, usage: QUERY_RESOLVE | COPY_SRC });
    const staging = gpu.createBuffer({ size: 16, usage: MAP_READ | COPY_DST });
    try {
      this.encode([commands], Number.POSITIVE_INFINITY, (pass) => {
        const first = pass === 0 ? { beginningOfPassWriteIndex: 0 } : {};
        const last = pass === passes - 1 ? { endOfPassWriteIndex: 1 } : {};
        return pass === 0 || pass === passes - 1 ? { querySet, ...first, ...last } : null;
      });
      const encoder = gpu.createCommandEncoder();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
      gpu.queue.submit([encoder.finish()]);
      await this.device.wait(staging.mapAsync(MAP_READ));
      const [begin, end] = new BigUint64Array(staging.getMappedRange().slice(0));
      return { seconds: Number(end! - begin!) / 1e9, clock: "timestamp" };
    } catch (cause) {
      throw await this.device.refused("time", cause);
    } finally {
      for (const x of [querySet, resolved, staging]) x.destroy();
    }
  }

  #poisoned(): GPUBuffer {
    if (this.#poison) return this.#poison;
    const { gpu } = this.device;
    this.#poison = gpu.createBuffer({ size: POISON_BYTES, usage: COPY, label: "poison" });
    gpu.queue.writeBuffer(this.#poison, 0, new Uint32Array(POISON_BYTES / 4).fill(POISON));
    return this.#poison;
  }
}
