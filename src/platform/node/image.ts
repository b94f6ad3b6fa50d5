// Decodes PNG and JPEG in Node, with packages that are loaded when a picture is met. Knows no sizes or colours.
import { FormatError, NfgradError } from "../../errors.ts";
import type { Picture } from "../types.ts";

interface Png {
  PNG: { sync: { read(bytes: Buffer): Picture } };
}

async function load<T>(name: string, file: string): Promise<T> {
  try {
    const module = await import(name);
    return module.default ?? module;
  } catch (cause) {
    throw new FormatError(`${file}: reading it needs the package "${name}": npm install ${name}`, {
      cause,
    });
  }
}

/** A picture's pixels as RGBA bytes. FormatError if it is neither PNG nor JPEG, or broken. */
export async function decodeImage(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Picture> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts = (...start: number[]) => start.every((byte, i) => bytes[i] === byte);
  try {
    if (starts(0x89, 0x50, 0x4e, 0x47))
      return (await load<Png>("pngjs", name)).PNG.sync.read(buffer);
    if (starts(0xff, 0xd8)) {
      const jpeg = await load<typeof import("jpeg-js")>("jpeg-js", name);
      return jpeg.decode(buffer, { useTArray: true, maxMemoryUsageInMB: 2048 });
    }
  } catch (cause) {
    if (cause instanceof NfgradError) throw cause;
    throw new FormatError(`${name}: broken picture: ${(cause as Error).message}`, { cause });
  }
  const start = [...bytes.subarray(0, 4)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
  throw new FormatError(
    `${name}: expected a PNG or JPEG picture, the file starts with ${start || "nothing"}`,
  );
}
