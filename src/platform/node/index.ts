// Node: Dawn (npm "webgpu") and the file system. Its twin is ../browser/index.ts.
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { DeviceError, FormatError } from "../../errors.ts";
import { type AdapterKind, type Chunks, type FileSource, isSoftware } from "../types.ts";

export { decodeImage } from "./image.ts";
export { patiently } from "./patience.ts";

import { loadLavapipe } from "./lavapipe.ts";

export const adapterHelp =
  process.platform !== "linux"
    ? "update the graphics driver"
    : `install a Vulkan driver for the GPU, or a software one: "bash tools/software-gpu.sh" of nfgrad's ` +
      `repository fetches it without root on Debian and Ubuntu, elsewhere install Mesa's lavapipe 25 or ` +
      `newer and the Vulkan loader, or name a driver file in VK_DRIVER_FILES` +
      (isMainThread ? "" : " (needed before the process starts when a worker thread asks)");

/** Dawn's entry objects. They must never be collected: that crashes the process. So they hang on globalThis. */
interface Dawn {
  plain?: GPU;
  software?: GPU;
}
const KEY = Symbol.for("nfgrad.dawn");
const holder = globalThis as typeof globalThis & { [KEY]?: Dawn };
holder[KEY] ??= {};
const dawn: Dawn = holder[KEY];

async function makeGpu(): Promise<GPU> {
  try {
    return (await import("webgpu")).create([]);
  } catch (cause) {
    throw new DeviceError(
      `openGpu: npm "webgpu" does not load on ${process.platform}-${process.arch}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** Without a device file no Vulkan driver but a software one can work, and asking them all prints noise. */
function mayHaveHardware(): boolean {
  if (process.platform !== "linux" || process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES)
    return true;
  if (existsSync("/dev/dri") && readdirSync("/dev/dri").some((f) => f.startsWith("render")))
    return true;
  return ["nvidiactl", "dxg", "mali0", "kgsl-3d0"].some((f) => existsSync(`/dev/${f}`));
}

async function softwareGpu(): Promise<GPU | null> {
  if (dawn.software) return dawn.software;
  if (process.platform !== "linux" || !isMainThread) return null; // a worker's process.env is a copy
  const driver = loadLavapipe();
  if (!driver) return null;
  const before = process.env.VK_DRIVER_FILES;
  process.env.VK_DRIVER_FILES = driver;
  try {
    dawn.software = await makeGpu();
    await dawn.software.requestAdapter(); // the drivers are read here, once for each object
  } finally {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  }
  return dawn.software;
}

function kindFromEnvironment(): AdapterKind | undefined {
  const kind = process.env.NFGRAD_ADAPTER;
  if (!kind) return undefined;
  if (kind === "hardware" || kind === "software") return kind;
  throw new DeviceError(`openGpu: NFGRAD_ADAPTER is "hardware" or "software", not "${kind}"`);
}

/**
 * An adapter of the kind asked for (default: NFGRAD_ADAPTER, else hardware first), or null.
 * Throws DeviceError only where Dawn itself does not load.
 */
export async function requestAdapter(
  want: AdapterKind | undefined = kindFromEnvironment(),
): Promise<GPUAdapter | null> {
  if (mayHaveHardware()) {
    dawn.plain ??= await makeGpu();
    if (want !== "software") {
      const adapter = await dawn.plain.requestAdapter({ powerPreference: "high-performance" });
      if (adapter && !isSoftware(adapter.info)) return adapter;
    }
    if (want !== "hardware") {
      const adapter = await dawn.plain.requestAdapter({ forceFallbackAdapter: true });
      if (adapter) return adapter;
    }
  }
  if (want === "hardware") return null;
  return (await softwareGpu())?.requestAdapter({ forceFallbackAdapter: true }) ?? null;
}

export const languageFeatures = (): ReadonlySet<string> =>
  new Set((dawn.plain ?? dawn.software)?.wgslLanguageFeatures);

const reason = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ENOENT" ? "no such file" : code === "EISDIR" ? "is a folder" : message;
};

/** The whole file. FormatError if it cannot be read. */
export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await fs.readFile(path).catch((cause) => {
    throw new FormatError(`${path}: ${reason(cause)}`, { cause });
  });
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The names in a folder, sorted. FormatError if it cannot be read. */
export async function listFolder(path: string): Promise<string[]> {
  const names = await fs.readdir(path).catch((cause) => {
    const why = cause.code === "ENOENT" ? "no such folder" : reason(cause);
    throw new FormatError(`${path}: ${why}`, { cause });
  });
  return names.sort();
}

const openToRead = (path: string) =>
  fs.open(path, "r").catch((cause) => {
    throw new FormatError(`${path}: ${reason(cause)}`, { cause });
  });

/** A file to be read piece by piece. FormatError if it cannot be read, ends too early, or changes meanwhile. */
export async function openFile(path: string): Promise<FileSource> {
  const stat = await fs.stat(path).catch((cause) => {
    throw new FormatError(`${path}: ${reason(cause)}`, { cause });
  });
  if (!stat.isFile()) throw new FormatError(`${path}: is not a file`);
  const read = async (offset: number, length: number) => {
    const file = await openToRead(path);
    try {
      const now = await file.stat();
      if (now.ino !== stat.ino || now.mtimeMs !== stat.mtimeMs || now.size !== stat.size)
        throw new FormatError(`${path}: was written to while it was being read`);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0)
          throw new FormatError(
            `${path}: expected ${length} bytes at ${offset}, the file has ${stat.size}`,
          );
        at += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  };
  return { name: path, size: stat.size, read };
}

/** Writes a file so that it appears complete or not at all, also across a crash. */
export async function writeFile(path: string, chunks: Chunks): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  const file = await fs.open(temporary, "wx").catch((cause) => {
    throw new FormatError(`${path}: cannot be written: ${reason(cause)}`, { cause });
  });
  try {
    try {
      for await (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.rename(temporary, path);
  } catch (cause) {
    await fs.rm(temporary, { force: true });
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(`${path}: cannot be written: ${reason(cause)}`, { cause });
  }
}
