// The browser: navigator.gpu, and no files. Its twin is ../node/index.ts.
import { FormatError } from "../../errors.ts";
import {
  type AdapterKind,
  type Chunks,
  checkSize,
  type FileSource,
  isSoftware,
  kindOf,
  type Picture,
} from "../types.ts";

export { patiently } from "./patience.ts";

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
  return isSoftware(adapter.info ?? {}) === (want === "software") ? adapter : null;
}

export const languageFeatures = (): ReadonlySet<string> =>
  new Set(typeof navigator === "undefined" ? [] : navigator.gpu?.wgslLanguageFeatures);

const noFiles = (what: string, path: string, instead: string): never => {
  throw new FormatError(`${what}: a browser has no file "${path}"; ${instead}`);
};

export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return noFiles("readFile", path, "give bytes or a Blob");
}

export async function listFolder(path: string): Promise<string[]> {
  return noFiles("listFolder", path, "fetch the files by name");
}

/** A JPEG file without its EXIF data, by which browsers would turn the picture. */
function withoutExif(jpeg: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let kept = 0; // what lies before is in `parts`, or dropped
  for (let at = 2; at + 4 <= jpeg.length && jpeg[at] === 0xff && jpeg[at + 1] !== 0xda; ) {
    const end = at + 2 + jpeg[at + 2]! * 256 + jpeg[at + 3]!;
    if (jpeg[at + 1] === 0xe1) {
      parts.push(jpeg.subarray(kept, at));
      kept = end;
    }
    at = end;
  }
  return [...parts, jpeg.subarray(kept)];
}

/**
 * A picture's pixels, without turning by EXIF and without colour profiles. Where alpha is small the canvas keeps few
 * bits of a colour. FormatError if it is neither JPEG, PNG nor WebP, broken, or too large.
 */
export async function decodeImage(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Picture> {
  const kind = kindOf(bytes, name);
  const parts = kind === "JPEG" ? withoutExif(bytes) : [bytes];
  const bitmap = await createImageBitmap(new Blob(parts), {
    premultiplyAlpha: "none",
    colorSpaceConversion: "none",
  }).catch((cause) => {
    throw new FormatError(`${name}: broken or truncated ${kind}`, { cause });
  });
  const { width, height } = bitmap;
  checkSize(width, height, name);
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) throw new FormatError(`${name}: no canvas of ${width}x${height} can be had`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

export async function openFile(path: string): Promise<FileSource> {
  return noFiles("openFile", path, "give the Blob of an <input type=file>, or fetch it");
}

export async function writeFile(path: string, _chunks: Chunks): Promise<void> {
  return noFiles("writeFile", path, "use io.save(), which gives a Blob");
}
