// Decodes JPEG, PNG and WebP in Node with npm "sharp", which is loaded when a picture is met. Knows no networks.
import type { SharpConstructor } from "sharp";
import { FormatError } from "../../errors.ts";
import { checkSize, kindOf, type Picture } from "../types.ts";

// Why sharp: one maintained package for all three formats, whose bytes are Pillow's (both stand on libjpeg-turbo, libpng
// and libwebp). It reads more formats, SVG among them; those are refused before it sees them.
async function load(file: string): Promise<SharpConstructor> {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const [why] = missing ? [""] : (cause as Error).message.split("\n");
    throw new FormatError(
      `${file}: reading it needs the package "sharp": npm install sharp${why && ` (${why})`}`,
      { cause },
    );
  }
}

/** What was decoded as CMYK, as RGBA: Pillow's arithmetic, where libvips would mix the colours by a profile. */
function fromCmyk(data: Uint8Array): Uint8Array {
  const rgba = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 4) {
    const white = 255 - data[i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[i + c]! * white + 128;
      rgba[i + c] = white - (((product >> 8) + product) >> 8);
    }
    rgba[i + 3] = 255;
  }
  return rgba;
}

/** A PNG has its last chunk, which libpng does not wait for. */
function hasEnd(png: Uint8Array): boolean {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = 8; at + 12 <= png.length; at += 12 + view.getUint32(at))
    if (view.getUint32(at + 4) === 0x49454e44) return true;
  return false;
}

/**
 * A picture's pixels: those of `Image.open(file).convert("RGBA")` of Pillow, without turning by EXIF and without colour
 * profiles; 16-bit values give their high byte. Of an animation, the first image.
 * @throws FormatError if it is neither JPEG, PNG nor WebP, broken, truncated or too large, or without npm "sharp".
 */
export async function decodeImage(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Picture> {
  const kind = kindOf(bytes, name);
  const sharp = await load(name);
  const broken = (why: string, cause?: unknown): never => {
    throw new FormatError(`${name}: broken or truncated ${kind}: ${why}`, { cause });
  };
  const run = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((cause: Error) => broken(cause.message.trim().split("\n")[0]!, cause));
  const open = () => sharp(bytes, { ignoreIcc: true, limitInputPixels: false });
  const { width, height, space } = await run(open().metadata());
  checkSize(width, height, name);
  if (kind === "PNG" && !hasEnd(bytes)) broken("it has no end");
  const image =
    space === "cmyk"
      ? open().pipelineColourspace("cmyk").toColourspace("cmyk")
      : open().toColourspace("srgb").ensureAlpha();
  const { data, info } = await run(image.raw().toBuffer({ resolveWithObject: true }));
  if (data.length !== 4 * width * height || info.width !== width)
    broken(`its header says ${width}x${height}, decoded are ${info.width}x${info.height}`);
  return { width, height, data: space === "cmyk" ? fromCmyk(data) : data };
}
