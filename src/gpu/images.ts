// Images: tensors copied into storage textures just before a dispatch reads them there. For adapters where a load from a
// texture costs less than one from a buffer: lavapipe tests mask and bounds of each element of a buffer's.
import { LimitError } from "../errors.ts";
import { sizeClass } from "./buffers.ts";
import type { Draw } from "./commands.ts";
import type { Device } from "./device.ts";

/** A texture of quads, row by row. Its `id` is never used again. */
export interface Image {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
  readonly rows: number;
  readonly id: number;
}

/** Quads a row: what the kernels take a quad's place apart with. */
const WIDTH = 1024;
/** Of a texture: with a power of two the rows of a tile would meet in a few sets of the cache. */
const PITCH = WIDTH + 4;
const BYTES = 16;
const FORMAT = "rgba32float";
const USAGE = 0x02 | 0x08; // GPUTextureUsage.COPY_DST | STORAGE_BINDING

export const IMAGE_LAYOUT = { access: "read-only", format: FORMAT } as const;

/**
 * One image for each image binding of a kernel, as large as any tensor was: commands run in order, so the next dispatch's
 * copy may follow the last one's loads. A smaller one lives on in the recordings that were made with it.
 */
export class Images {
  readonly #all: Image[] = [];
  readonly #current: Image[] = [];

  constructor(readonly device: Device) {}

  get bytes(): number {
    return this.#all.reduce((n, { rows }) => n + rows * PITCH * BYTES, 0);
  }

  /** The image of a kernel's `nth` image binding, for at least so many quads. */
  get(nth: number, quads: number, label: string): Image {
    const rows = Math.ceil(quads / WIDTH);
    const found = this.#current[nth];
    if (found && found.rows >= rows) return found;
    const max = this.device.gpu.limits.maxTextureDimension2D;
    if (rows > max)
      throw new LimitError(`${label}: an image of ${rows} rows, the adapter allows ${max}`);
    const size = Math.min(max, sizeClass(256 * rows) / 256);
    const texture = this.device.watch(`an image of ${size} rows`, () =>
      this.device.gpu.createTexture({
        size: [PITCH, size],
        format: FORMAT,
        usage: USAGE,
        label,
      }),
    );
    const made = { texture, view: texture.createView(), rows: size, id: this.#all.length };
    this.#all.push(made);
    this.#current[nth] = made;
    return made;
  }

  destroy(): void {
    for (const { texture } of this.#all) texture.destroy();
  }
}

/** Whole rows, then what is left. */
export function draw(encoder: GPUCommandEncoder, { from, fromOffset, image, quads }: Draw): void {
  const rows = Math.floor(quads / WIDTH);
  const copy = (row: number, size: readonly [number, number]) =>
    encoder.copyBufferToTexture(
      { buffer: from, offset: fromOffset + row * WIDTH * BYTES, bytesPerRow: WIDTH * BYTES },
      { texture: image.texture, origin: [0, row] },
      size,
    );
  if (rows > 0) copy(0, [WIDTH, rows]);
  if (quads % WIDTH > 0) copy(rows, [quads % WIDTH, 1]);
}
