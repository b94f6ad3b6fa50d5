// The browser: navigator.gpu, and no files. Its twin is ../node/index.ts.
import { FormatError } from "../../errors.ts";
import { type AdapterKind, type Chunks, type FileSource, isSoftware } from "../types.ts";

export const adapterHelp =
  "WebGPU needs a secure page (https or localhost) and a browser that has it: Chrome or Edge 113, " +
  "Safari 26, Firefox 141 or newer. On Linux it may have to be switched on in about:config " +
  "(dom.webgpu.enabled) or chrome://flags (enable-unsafe-webgpu)";

/** The browser's adapter of the kind asked for (default: what the browser prefers), or null. */
export async function requestAdapter(want?: AdapterKind): Promise<GPUAdapter | null> {
  if (typeof navigator === "undefined" || !navigator.gpu) return null;
  const adapter = await navigator.gpu.requestAdapter(
    want === "software" ? { forceFallbackAdapter: true } : { powerPreference: "high-performance" },
  );
  if (!adapter || !want) return adapter;
  return isSoftware(adapter.info) === (want === "software") ? adapter : null;
}

const noFiles = (what: string, path: string, instead: string): never => {
  throw new FormatError(`${what}: a browser has no file "${path}"; ${instead}`);
};

export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return noFiles("readFile", path, "give bytes or a Blob");
}

export async function openFile(path: string): Promise<FileSource> {
  return noFiles("openFile", path, "give the Blob of an <input type=file>, or fetch it");
}

export async function writeFile(path: string, _chunks: Chunks): Promise<void> {
  return noFiles("writeFile", path, "use io.save(), which gives a Blob");
}
