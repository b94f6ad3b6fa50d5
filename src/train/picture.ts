// One picture as an image of a data set: grey, light on dark, of the size that the network was trained on.
// For photos of one thing on a plain ground; the reference's crops for ImageNet are another matter.
import type { Images } from "../io/datasets.ts";
import type { Picture } from "../platform/types.ts";

interface Grey {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** Luma (Rec. 601) from 0 to 255; transparent pixels over white. */
function greyOf({ width, height, data }: Picture): Grey {
  const values = Float32Array.from({ length: width * height }, (_, i) => {
    const [r, g, b, a] = data.subarray(4 * i, 4 * i + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    return ((0.299 * r + 0.587 * g + 0.114 * b) * a) / 255 + (255 - a);
  });
  return { width, height, values };
}

/** Mean of the outermost pixels: the ground. */
function borderOf({ width, height, values }: Grey): number {
  let [sum, count] = [0, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (x > 0 && y > 0 && x < width - 1 && y < height - 1) continue;
      sum += values[y * width + x]!;
      count++;
    }
  return sum / count;
}

/** Each output pixel is the mean of the area that it covers; what lies outside is `ground`. */
function rescaled(
  { width, height, values }: Grey,
  toWidth: number,
  toHeight: number,
  ground: number,
) {
  const scale = Math.max(width / toWidth, height / toHeight);
  const left = (width - scale * toWidth) / 2;
  const top = (height - scale * toHeight) / 2;
  const overlap = (a: number, i: number) =>
    Math.max(0, Math.min(a + scale, i + 1) - Math.max(a, i));
  return Uint8Array.from({ length: toWidth * toHeight }, (_, n) => {
    const x0 = left + scale * (n % toWidth);
    const y0 = top + scale * Math.floor(n / toWidth);
    let sum = 0;
    for (let y = Math.floor(y0); y < y0 + scale; y++)
      for (let x = Math.floor(x0); x < x0 + scale; x++) {
        const inside = x >= 0 && y >= 0 && x < width && y < height;
        sum += (inside ? values[y * width + x]! : ground) * overlap(x0, x) * overlap(y0, y);
      }
    return Math.round(sum / scale ** 2);
  });
}

/** The picture as an image of this size; `inverted` says that it was dark on light. */
export function imageOf(
  picture: Picture,
  { height, width }: { readonly height: number; readonly width: number },
): { image: Images; inverted: boolean } {
  const grey = greyOf(picture);
  const ground = borderOf(grey);
  const fitted = rescaled(grey, width, height, ground);
  const inverted = ground > 127.5;
  const pixels = inverted ? fitted.map((p) => 255 - p) : fitted;
  const image = { count: 1, height, width, channels: 1, pixels, labels: Uint8Array.of(0) };
  return { image, inverted };
}

/** Of MNIST's digits: the longer side, as a part of the image's. */
const DIGIT = 20 / 28;

/**
 * A square cut of a drawing on a plain ground, in which the drawing has the place that MNIST's digits have: its longer
 * side is 20/28 of the square's, its centre of mass is in the middle. Grey; null if nothing is drawn.
 */
export function centred(picture: Picture): Picture | null {
  const grey = greyOf(picture);
  const { width, height, values } = grey;
  const ground = borderOf(grey);
  const inkAt = (i: number) => Math.abs(values[i]! - ground);
  let [left, right, top, bottom] = [width, -1, height, -1];
  let [mass, sumX, sumY] = [0, 0, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const ink = inkAt(y * width + x);
      if (ink < 32) continue; // noise and the faint edge of a stroke
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      mass += ink;
      sumX += ink * x;
      sumY += ink * y;
    }
  if (mass === 0) return null;
  const side = Math.max(2, Math.round(Math.max(right - left + 1, bottom - top + 1) / DIGIT));
  const x0 = Math.round(sumX / mass - (side - 1) / 2);
  const y0 = Math.round(sumY / mass - (side - 1) / 2);
  const data = new Uint8ClampedArray(4 * side * side);
  for (let i = 0; i < side * side; i++) {
    const x = x0 + (i % side);
    const y = y0 + Math.floor(i / side);
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    data.fill(inside ? values[y * width + x]! : ground, 4 * i, 4 * i + 3);
    data[4 * i + 3] = 255;
  }
  return { width: side, height: side, data };
}
