// What every platform gives, how a software adapter is told from a GPU, which pictures are read. Knows nothing of what is
// computed.
import { FormatError } from "../errors.ts";

/** Which kind of adapter is asked for; undefined: hardware if there is any, else software. */
export type AdapterKind = "hardware" | "software";

/** A file that is read piece by piece. Nothing stays open in between, so there is nothing to close. */
export interface FileSource {
  readonly name: string;
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A decoded picture: bytes RGBA, not multiplied by alpha, row by row. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** The interface that `platform/node` and `platform/browser` both have. */
export interface Platform {
  /** The adapter, or null if there is none of the kind asked for. Never throws for lack of one. */
  requestAdapter(want?: AdapterKind): Promise<GPUAdapter | null>;
  /** Names of the WGSL language features that the shader compiler knows; empty before there was an adapter. */
  languageFeatures(): ReadonlySet<string>;
  /**
   * Awaits what a device works at: without taking from a software adapter the core that it works on, and without hearing
   * of it late. `nudge`, the same function for each wait, submits nothing to that device.
   */
  patiently<T>(promise: Promise<T>, kind: AdapterKind, nudge: () => void): Promise<T>;
  /** What a user can do who has no adapter; the end of an error message. */
  readonly adapterHelp: string;
  /** The whole file. */
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** The names of the files in a folder, sorted. */
  listFolder(path: string): Promise<string[]>;
  /** The pixels of a JPEG, PNG or WebP file, as it stores them; `name` is for the error. */
  decodeImage(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Picture>;
  /** The file, to be read piece by piece. */
  openFile(path: string): Promise<FileSource>;
  /** Writes the chunks one after another; the file appears under its name complete, or not at all. */
  writeFile(path: string, chunks: Chunks): Promise<void>;
}

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** What an adapter says of itself; browsers may leave any of it out. */
export type Said = Partial<Omit<GPUAdapterInfo, "__brand">>;

/** True for adapters that compute on the CPU: lavapipe, SwiftShader, WARP. */
export function isSoftware(info: Said): boolean {
  if (info.isFallbackAdapter) return true;
  const text = [info.vendor, info.architecture, info.device, info.description].join(" ");
  return /llvmpipe|lavapipe|swiftshader|\bwarp\b|basic render|^mesa software/i.test(text);
}

/** The largest picture: half a gigabyte as RGBA. */
const MOST_PIXELS = 2 ** 27;

/** @throws FormatError for a picture that has no pixels or too many; `name` is the file's. */
export function checkSize(width: number, height: number, name: string): void {
  const pixels = width * height;
  if (pixels >= 1 && pixels <= MOST_PIXELS) return;
  throw new FormatError(
    `${name}: expected a picture of up to ${MOST_PIXELS} pixels, it has ${width}x${height}`,
  );
}

/** The format of a picture by its first bytes. @throws FormatError for any other. */
export function kindOf(bytes: Uint8Array, name: string): "JPEG" | "PNG" | "WebP" {
  const start = String.fromCharCode(...bytes.subarray(0, 12));
  if (start.startsWith("\xff\xd8\xff")) return "JPEG";
  if (start.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "WebP";
  const found = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0"));
  throw new FormatError(
    `${name}: expected a JPEG, PNG or WebP picture, the file starts with ${found.join(" ") || "nothing"}`,
  );
}
