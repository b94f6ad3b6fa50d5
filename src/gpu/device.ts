// A device with what it can do, and the errors that it reports later. Knows nothing of tensors or commands.
import { adapterHelp, languageFeatures, patiently, requestAdapter } from "#platform";
import { DeviceError, DeviceLostError, NfgradError } from "../errors.ts";
import { type AdapterKind, isSoftware, type Said } from "../platform/types.ts";

/** What an adapter is and can do. */
export interface AdapterInfo {
  readonly kind: AdapterKind;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Sizes of a subgroup; null without the feature. */
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  readonly features: ReadonlySet<string>;
  /** Storage textures can be read (`readonly_and_readwrite_storage_textures`). */
  readonly images: boolean;
  readonly limits: Readonly<Record<string, number>>;
}

/** Limits that a kernel or a buffer can meet; all that the adapter has are requested. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxBindingsPerBindGroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
] as const;
const FEATURES = ["subgroups", "timestamp-query", "shader-f16"] as const;
/** How long a device that refused something is given to say that it is lost. */
const LOST_MS = 1000;

const MAP_READ = 0x1;
const COPY_DST = 0x8;

/** An optional feature that the engine uses where an adapter has it. */
export type Feature = (typeof FEATURES)[number];

function describe(
  info: Said,
  limits: GPUSupportedLimits,
  features: ReadonlySet<string>,
): AdapterInfo {
  const { vendor = "", architecture = "", device = "", description = "" } = info; // browsers may hide any
  const values = LIMITS.map((name) => [name, limits[name]] as const);
  return {
    kind: isSoftware(info) ? "software" : "hardware",
    vendor,
    architecture,
    device,
    description,
    subgroups: features.has("subgroups")
      ? { min: info.subgroupMinSize ?? 4, max: info.subgroupMaxSize ?? 128 } // the specification's bounds
      : null,
    features: new Set(features),
    images: languageFeatures().has("readonly_and_readwrite_storage_textures"),
    limits: Object.fromEntries(values),
  };
}

/** A device, and the first error that it reported since somebody asked. */
export class Device {
  readonly info: AdapterInfo;
  #error: NfgradError | null = null;
  #gone: DeviceError | null = null;
  readonly #watched = new Set<Promise<void>>();
  readonly #nudge = (): void => this.gpu.queue.submit([]);

  /** `own`: we requested it, so closing destroys it. */
  constructor(
    readonly gpu: GPUDevice,
    info: Said | undefined,
    readonly own: boolean,
  ) {
    this.info = describe(info ?? {}, gpu.limits, gpu.features as ReadonlySet<string>);
    if (own) {
      gpu.addEventListener("uncapturederror", ({ error }) =>
        this.report(new DeviceError(error.message)),
      );
    }
    void gpu.lost.then(({ reason, message }) => {
      this.#gone ??= new DeviceLostError(`the device was lost (${reason}): ${message}`);
    });
  }

  /** Runs calls that can fail on the device; what they report is thrown by the next awaited call. */
  watch<R>(what: string, calls: () => R): R {
    this.gpu.pushErrorScope("out-of-memory");
    this.gpu.pushErrorScope("validation");
    const result = calls();
    const both = [this.gpu.popErrorScope(), this.gpu.popErrorScope()];
    const seen = Promise.all(both).then(
      ([validation, memory]) => {
        if (memory) this.report(new DeviceError(`${what}: out of memory: ${memory.message}`));
        else if (validation) this.report(new DeviceError(`${what}: ${validation.message}`));
      },
      () => {}, // a lost device; `gone` says so
    );
    this.#watched.add(seen);
    void seen.then(() => this.#watched.delete(seen));
    return result;
  }

  report(error: NfgradError): void {
    this.#error ??= error;
  }

  /** It is lost or closed. */
  get gone(): boolean {
    return this.#gone !== null;
  }

  /** Throws if the device is lost or closed. */
  check(user: string): void {
    const gone = this.#goneFor(user);
    if (gone) throw gone;
  }

  #goneFor(user: string): DeviceError | null {
    if (!this.#gone) return null;
    return new (this.#gone.constructor as typeof DeviceError)(`${user}: ${this.#gone.message}`);
  }

  /**
   * What the device refused as `user` asked for it, as an error of ours. A lost device refuses first and says later that
   * it is lost.
   */
  async refused(user: string, cause: unknown): Promise<NfgradError> {
    if (cause instanceof NfgradError) return cause;
    await Promise.race([this.gpu.lost, new Promise((done) => setTimeout(done, LOST_MS))]);
    return (
      this.#goneFor(user) ?? new DeviceError(`${user}: ${(cause as Error).message}`, { cause })
    );
  }

  /**
   * Throws if the device is lost, also where it has not said so yet: of a lost device all work counts as done, and nothing
   * compiles, but it refuses to map a buffer.
   */
  async alive(user: string): Promise<void> {
    const probe = this.gpu.createBuffer({ size: 4, usage: MAP_READ | COPY_DST });
    try {
      await this.wait(probe.mapAsync(MAP_READ));
    } catch (cause) {
      throw await this.refused(user, cause);
    } finally {
      probe.destroy();
    }
  }

  /** Awaits what the device has to do first. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return patiently(promise, this.info.kind, this.#nudge);
  }

  /** Waits for the reports of what was called so far, and throws the first. */
  async settle(): Promise<void> {
    await Promise.all(this.#watched);
    this.check("gpu");
    if (!this.#error) return;
    const error = this.#error;
    this.#error = null;
    throw error;
  }

  close(): void {
    this.#gone = new DeviceError("this gpu is closed");
    if (this.own) this.gpu.destroy();
  }
}

export interface DeviceOptions {
  /** A device that the caller made; it is used, and never destroyed. Its limits and features are the caller's. */
  readonly device?: GPUDevice;
  /** Default: hardware if there is any, else (in Node) a software adapter. */
  readonly adapter?: AdapterKind;
  /** "default": WebGPU's default limits, which every adapter has. Without it all that this one has. */
  readonly limits?: "adapter" | "default";
  /** The optional features to use, and no others; `[]` for what runs everywhere. Without it all that the adapter has. */
  readonly features?: readonly Feature[];
}

/** @throws DeviceError for an option that there is not, or that a device brought by the caller has decided. */
function checkOptions({ device, limits, features }: DeviceOptions): void {
  const wrong = (expected: string, got: unknown) => {
    throw new DeviceError(`openGpu: expected ${expected}, got ${JSON.stringify(got)}`);
  };
  if (limits !== undefined && limits !== "adapter" && limits !== "default")
    wrong('limits "adapter" or "default"', limits);
  if (features !== undefined && !Array.isArray(features)) wrong("features as a list", features);
  const odd = features?.find((name) => !FEATURES.includes(name));
  if (odd !== undefined) wrong(`features out of ${FEATURES.join(", ")}`, odd);
  if (!device) return;
  const given = Object.entries({ limits, features }).find(([, v]) => v !== undefined);
  if (given) wrong("nothing beside a device, which has its limits and features", given[0]);
}

/** @throws DeviceError, with instructions, if there is no adapter or it gives no device. */
export async function openDevice(options: DeviceOptions): Promise<Device> {
  checkOptions(options);
  const { device, adapter: want, limits = "adapter", features } = options;
  if (device) return new Device(device, device.adapterInfo, false);
  const adapter = await requestAdapter(want);
  if (!adapter) throw new DeviceError(`openGpu: no ${want ?? "WebGPU"} adapter: ${adapterHelp}`);
  const missing = features?.find((name) => !adapter.features.has(name));
  if (missing) {
    const has = FEATURES.filter((name) => adapter.features.has(name)).join(", ") || "none";
    throw new DeviceError(
      `openGpu: the adapter has no feature '${missing}'; of those used: ${has}`,
    );
  }
  const known = LIMITS.map((name) => [name, adapter.limits[name]] as const);
  const wanted = limits === "default" ? [] : known.filter(([, value]) => value !== undefined);
  try {
    const made = await adapter.requestDevice({
      label: "nfgrad",
      requiredFeatures: features ?? FEATURES.filter((name) => adapter.features.has(name)),
      requiredLimits: Object.fromEntries(wanted),
    });
    return new Device(made, adapter.info, true);
  } catch (cause) {
    throw new DeviceError(`openGpu: the adapter gives no device: ${(cause as Error).message}`, {
      cause,
    });
  }
}
