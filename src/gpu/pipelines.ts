// Compiled kernels, their uniform values and their bind groups: made once, kept in bounded tables.
import { KernelError, type NfgradError } from "../errors.ts";
import type { Device } from "./device.ts";
import { IMAGE_LAYOUT } from "./images.ts";
import { type Binding, bindingsOf, type Kernel } from "./kernel.ts";

/** A kernel on its way through the device's compiler. */
export interface Pipeline {
  readonly id: number;
  readonly bindings: readonly Binding[];
  readonly layout: GPUBindGroupLayout;
  /** Resolves when `ready` or `failed` is set. */
  readonly compiled: Promise<void>;
  ready: GPUComputePipeline | null;
  failed: NfgradError | null;
}

/** A place in a uniform buffer whose content never changes. */
export interface Slice {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly id: number;
}

const SLICE_BYTES = 256; // minUniformBufferOffsetAlignment is at most this
const SLICES_PER_BUFFER = 256;
const MAX_SLICES = 16_384;
const MAX_GROUPS = 16_384;
const COMPUTE = 0x4; // GPUShaderStage.COMPUTE
const UNIFORM = 0x40 | 0x8; // GPUBufferUsage.UNIFORM | COPY_DST

export class Pipelines {
  readonly counts = { pipelines: 0, bindGroups: 0, uniformWrites: 0 };
  readonly #pipelines = new WeakMap<Kernel, Map<string, Pipeline>>();
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #slices = new Map<string, Slice>();
  #chunk: GPUBuffer | null = null;
  #nextSlice = 0;

  constructor(readonly device: Device) {}

  get cached(): { bindGroups: number; params: number } {
    return { bindGroups: this.#groups.size, params: this.#slices.size };
  }

  /** The layout holds what the call names, so no analysis of the shader is needed. */
  get(kernel: Kernel, names: readonly string[]): Pipeline {
    let byNames = this.#pipelines.get(kernel);
    if (!byNames) {
      byNames = new Map();
      this.#pipelines.set(kernel, byNames);
    }
    const key = names.join();
    const found = byNames.get(key);
    if (found) return found;
    const made = this.#make(kernel, bindingsOf(kernel, names));
    byNames.set(key, made);
    return made;
  }

  #make(kernel: Kernel, bindings: readonly Binding[]): Pipeline {
    const { gpu } = this.device;
    const layout = gpu.createBindGroupLayout({
      label: kernel.label,
      entries: bindings.map(({ slot, kind }) => ({
        binding: slot,
        visibility: COMPUTE,
        ...(kind === "image" ? { storageTexture: IMAGE_LAYOUT } : { buffer: { type: kind } }),
      })),
    });
    const pipeline: Pipeline = {
      id: this.counts.pipelines++,
      bindings,
      layout,
      ready: null,
      failed: null,
      compiled: this.#compile(kernel, layout).then(
        (ready) => {
          pipeline.ready = ready;
        },
        (error: NfgradError) => {
          pipeline.failed = error;
        },
      ),
    };
    return pipeline;
  }

  async #compile(kernel: Kernel, layout: GPUBindGroupLayout): Promise<GPUComputePipeline> {
    const { gpu } = this.device;
    checkWorkgroup(kernel, gpu.limits);
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ code: kernel.code, label: kernel.label });
    const scope = gpu.popErrorScope();
    const info = await module.getCompilationInfo?.(); // not everywhere
    const failed = await scope;
    const bad = info?.messages.find(({ type }) => type === "error");
    if (bad || failed) await this.device.alive(kernel.label);
    if (bad) throw new KernelError(compileMessage(kernel, bad));
    if (failed) throw new KernelError(`${kernel.label}: ${failed.message}`);
    try {
      return await gpu.createComputePipelineAsync({
        label: kernel.label,
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: kernel.entry, constants: kernel.constants },
      });
    } catch (cause) {
      await this.device.alive(kernel.label);
      throw new KernelError(`${kernel.label}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Equal Params share a slice that is never rewritten, so bind groups hit and steady state writes nothing. */
  slice(words: Uint32Array<ArrayBuffer>): Slice {
    const key = words.join();
    const found = this.#slices.get(key);
    if (found) return found;
    if (this.#slices.size >= MAX_SLICES) this.#slices.clear(); // recordings hold on to what they use
    const at = this.#nextSlice % SLICES_PER_BUFFER;
    if (at === 0) {
      this.#chunk = this.device.gpu.createBuffer({
        label: "params",
        size: SLICES_PER_BUFFER * SLICE_BYTES,
        usage: UNIFORM,
      });
    }
    const slice = { buffer: this.#chunk!, offset: at * SLICE_BYTES, id: this.#nextSlice++ };
    this.device.gpu.queue.writeBuffer(slice.buffer, slice.offset, words); // no command knows it yet
    this.counts.uniformWrites++;
    this.#slices.set(key, slice);
    return slice;
  }

  /** The bind group under a key of buffer, pipeline and slice ids. */
  group(key: string, describe: () => GPUBindGroupDescriptor): GPUBindGroup {
    const found = this.#groups.get(key);
    if (found) return found;
    if (this.#groups.size >= MAX_GROUPS) {
      let drop = MAX_GROUPS / 4; // the oldest: a Map keeps the order of insertion
      for (const old of this.#groups.keys()) {
        if (drop-- === 0) break;
        this.#groups.delete(old);
      }
    }
    const made = this.device.watch("bind group", () => this.device.gpu.createBindGroup(describe()));
    this.#groups.set(key, made);
    this.counts.bindGroups++;
    return made;
  }
}

/** Not every browser looks at sizes that an `override` gives, and a driver may crash. */
function checkWorkgroup({ label, workgroup }: Kernel, limits: GPUSupportedLimits): void {
  const [x, y, z] = workgroup;
  const most = [
    limits.maxComputeWorkgroupSizeX,
    limits.maxComputeWorkgroupSizeY,
    limits.maxComputeWorkgroupSizeZ,
  ] as const;
  const all = limits.maxComputeInvocationsPerWorkgroup;
  if (x * y * z <= all && workgroup.every((n, i) => n <= most[i]!)) return;
  throw new KernelError(
    `${label}: a workgroup of ${workgroup.join("x")} threads, the adapter allows ${most.join("x")} and ${all} in all`,
  );
}

/**
 * `shaders/agc.wgsl:41:9 unresolved value 'x'`, and the source lines around it. Firefox draws the lines too, with numbers of
 * the composed text, and some browsers know no line (0).
 */
function compileMessage(
  kernel: Kernel,
  { lineNum, linePos, message }: GPUCompilationMessage,
): string {
  const what = message.trim().split(/\n\s*┌─/)[0]!;
  if (!lineNum) return `${kernel.label}: ${what}`;
  const { file, line, text } = kernel.where(lineNum);
  const before = line > 1 ? kernel.where(lineNum - 1) : null;
  const gutter = String(line).length;
  const shown = [...(before ? [before] : []), { line, text }].map(
    (l) => `  ${String(l.line).padStart(gutter)} | ${l.text}`,
  );
  const caret = `  ${" ".repeat(gutter)} | ${" ".repeat(Math.max(0, linePos - 1))}^`;
  return `${file}:${line}:${linePos} ${what}\n${[...shown, caret].join("\n")}`;
}
