// From a picture file to a network's input, as the reference's demo and its evaluation on ImageNet do it. On the host;
// draws nothing at random.
import { decodeImage } from "#platform";
import { FormatError, OptionError, ShapeError } from "../errors.ts";
import type { Picture } from "../platform/types.ts";
import {
  checkImage,
  checkSize,
  type ImageInput,
  type RgbImage,
  resizeLikePillow,
  resizeLikeTensorflow,
} from "./resize.ts";
import { type ByteSource, exactly, randomAccess } from "./source.ts";

/** Files longer than this are no pictures. */
const MOST_BYTES = 2 ** 28;

/**
 * Decodes a JPEG, PNG or WebP file: as `readImage`, with alpha.
 * @throws FormatError as `readImage`.
 */
export async function readPicture(source: ByteSource, name?: string): Promise<Picture> {
  const file = randomAccess(source);
  const what = name ?? file.name ?? "picture";
  if (file.size > MOST_BYTES)
    throw new FormatError(
      `${what}: expected a picture of up to ${MOST_BYTES} bytes, got ${file.size}`,
    );
  const bytes = await exactly(file, 0, file.size, what);
  return decodeImage(bytes as Uint8Array<ArrayBuffer>, what);
}

/**
 * Decodes a JPEG, PNG or WebP file into what Pillow's `Image.open(file).convert("RGB")` gives: no turning by EXIF, no
 * colour profile, alpha dropped; of 16-bit values the high bytes. In Node it needs npm "sharp".
 * @param name For errors; default: the source's own.
 * @throws FormatError if it is none of these formats, broken, truncated or too large, or the package is missing.
 */
export const readImage = async (source: ByteSource, name?: string): Promise<RgbImage> =>
  rgbOf(await readPicture(source, name));

/** A decoded picture without its alpha. */
export function rgbOf({ width, height, data }: Picture): RgbImage {
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c]!;
  return { width, height, data: rgb };
}

/** Mean and standard deviation of ImageNet's channels, from 0 to 255. dataset.py: MEAN_RGB, STDDEV_RGB. */
export const MEAN_RGB: readonly [number, number, number] = [123.675, 116.28, 103.53];
export const STDDEV_RGB: readonly [number, number, number] = [58.395, 57.120000000000005, 57.375];

/**
 * A part of an image.
 * @throws ShapeError if it does not lie inside.
 */
export function cropImage(
  image: RgbImage,
  box: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  },
): RgbImage {
  checkImage("cropImage", image);
  const { left, top, width, height } = box;
  checkSize("cropImage", width, height);
  const fits = (start: number, size: number, all: number) =>
    Number.isSafeInteger(start) && start >= 0 && start + size <= all;
  if (!fits(left, width, image.width) || !fits(top, height, image.height))
    throw new ShapeError(
      `cropImage: ${width}x${height} at (${left}, ${top}) does not lie in ${image.width}x${image.height}`,
    );
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const start = 3 * ((top + y) * image.width + left);
    data.set(image.data.subarray(start, start + 3 * width), 3 * y * width);
  }
  return { width, height, data };
}

/** `(x - MEAN_RGB) / STDDEV_RGB` in f64, then f32: how the reference's demo makes a network's input of bytes. */
export function normalizeImage(image: RgbImage): ImageInput {
  checkImage("normalizeImage", image);
  const data = Float32Array.from(
    image.data as Uint8Array,
    (value, i) => (value - MEAN_RGB[i % 3]!) / STDDEV_RGB[i % 3]!,
  );
  return { data, shape: [image.height, image.width, 3] };
}

/** Pixels that the demo cuts off on each side. */
const BORDER = 16;

/** The steps of `demoImage`. */
export function demoSteps(image: RgbImage, imsize: number) {
  checkSize("demoImage: imsize:", imsize, imsize);
  const full = imsize + 2 * BORDER;
  const resized = resizeLikePillow(image, full, full);
  const box = { left: BORDER, top: BORDER, width: imsize, height: imsize };
  return { resized, cropped: cropImage(resized, box) };
}

/**
 * The reference's demo (nfnet_demo_colab.ipynb): resize to `imsize + 32` on both sides, whatever the proportions, with
 * Pillow's bicubic filter; cut off 16 pixels on each side; normalise. `[imsize, imsize, 3]`.
 */
export const demoImage = (image: RgbImage, imsize: number): ImageInput =>
  normalizeImage(demoSteps(image, imsize).cropped);

/**
 * The reference's evaluation modes (dataset.py: load, `eval_preproc`): `crop_resize`, or `resize_crop_` with the part of
 * the resized image that is kept (0.875), or, above 1, with the pixels by which it is larger.
 */
export type EvalPreproc = "crop_resize" | `resize_crop_${number}`;

/** The largest crop with the network's proportions that leaves room for 32 pixels. dataset.py: _decode_and_center_crop. */
function paddedCenterCrop(image: RgbImage, imsize: number): RgbImage {
  const f32 = Math.fround;
  const scale = Math.min(f32(image.height / (imsize + 32)), f32(image.width / (imsize + 32)));
  const side = Math.trunc(f32(scale * imsize));
  if (side < 1)
    throw new ShapeError(
      `evalImage: crop_resize leaves nothing of an image of ${image.width}x${image.height}`,
    );
  const start = (size: number) => Math.floor((size - side + 1) / 2);
  const [left, top] = [start(image.width), start(image.height)];
  return cropImage(image, { left, top, width: side, height: side });
}

/** Resizes to a little more than `imsize` and cuts out the centre. dataset.py: _decode_and_resize_then_crop. */
function resizeThenCrop(image: RgbImage, imsize: number, part: number): ImageInput {
  const full = Math.trunc(part > 1 ? imsize + part : imsize / part);
  const { data } = resizeLikeTensorflow(image, full, full);
  const start = Math.floor((full - imsize + 1) / 2);
  const cropped = new Float32Array(3 * imsize * imsize);
  for (let y = 0; y < imsize; y++) {
    const from = 3 * ((start + y) * full + start);
    cropped.set(data.subarray(from, from + 3 * imsize), 3 * y * imsize);
  }
  return { data: cropped, shape: [imsize, imsize, 3] };
}

/**
 * An image as the reference evaluates on ImageNet (dataset.py: _preprocess_image, _normalize_image), in f32:
 * `[imsize, imsize, 3]`. Of JPEG files its decoder may give other grey levels than the one that made `image`.
 * @throws OptionError for a mode that does not exist, ShapeError for an image of which nothing is left.
 */
export function evalImage(
  image: RgbImage,
  imsize: number,
  mode: EvalPreproc = "crop_resize",
): ImageInput {
  checkImage("evalImage", image);
  checkSize("evalImage: imsize:", imsize, imsize);
  const [, text = ""] = /^resize_crop_(\d+\.?\d*|\.\d+)$/.exec(mode) ?? [];
  const part = Number(text);
  if (mode !== "crop_resize" && !(part > 0))
    throw new OptionError(
      `evalImage: mode is "crop_resize" or "resize_crop_" and a number above 0, got "${mode}"`,
    );
  const { data, shape } =
    mode === "crop_resize"
      ? resizeLikeTensorflow(paddedCenterCrop(image, imsize), imsize, imsize)
      : resizeThenCrop(image, imsize, part);
  const [mean, std] = [Float32Array.from(MEAN_RGB), Float32Array.from(STDDEV_RGB)];
  for (let i = 0; i < data.length; i++)
    data[i] = Math.fround(data[i]! - mean[i % 3]!) / std[i % 3]!;
  return { data, shape };
}
