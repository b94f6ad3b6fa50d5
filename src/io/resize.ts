// Bicubic resizing of pictures on the host, bit for bit as Pillow's and as TensorFlow's. Knows no crops and no networks.
import type { Host } from "../core/host.ts";
import { ShapeError } from "../errors.ts";

/** A picture in colour: bytes R, G, B, row by row. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** An image as a network's input: f32 `[height, width, 3]`. */
export interface ImageInput extends Host {
  readonly data: Float32Array<ArrayBuffer>;
  readonly shape: readonly [height: number, width: number, channels: 3];
}

const f32 = Math.fround;

export function checkSize(name: string, width: number, height: number): void {
  for (const [what, n] of [
    ["width", width],
    ["height", height],
  ] as const)
    if (!Number.isSafeInteger(n) || n < 1)
      throw new ShapeError(`${name}: ${what} is an integer of at least 1, got ${n}`);
}

export function checkImage(name: string, { width, height, data }: RgbImage): void {
  checkSize(`${name}: the image's`, width, height);
  if (data.length === 3 * width * height) return;
  throw new ShapeError(
    `${name}: an image of ${width}x${height} has ${3 * width * height} bytes, got ${data.length}`,
  );
}

/** Keys' cubic kernel with a = -0.5. */
function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/** Of Pillow's fixed-point weights: a byte and two bits for sums take the rest of an i32. */
const BITS = 32 - 8 - 2;

/** For each output place: the first input place, how many, and their weights. */
function pillowWeights(size: number, out: number) {
  const scale = size / out;
  const stretch = Math.max(scale, 1); // shrinking widens the kernel: that is the antialiasing
  const support = 2 * stretch;
  const firsts = new Int32Array(out);
  const counts = new Int32Array(out);
  const most = Math.ceil(support) * 2 + 1;
  const weights = new Int32Array(out * most);
  for (let to = 0; to < out; to++) {
    const center = (to + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const count = Math.min(Math.trunc(center + support + 0.5), size) - first;
    const own = Array.from({ length: count }, (_, i) =>
      cubic((i + first - center + 0.5) * (1 / stretch)),
    );
    const total = own.reduce((a, b) => a + b, 0);
    firsts[to] = first;
    counts[to] = count;
    own.forEach((weight, i) => {
      const normed = total === 0 ? weight : weight / total;
      weights[to * most + i] = Math.trunc((normed < 0 ? -0.5 : 0.5) + normed * 2 ** BITS);
    });
  }
  return { firsts, counts, weights, most };
}

/**
 * Resizes one axis: `lines` runs along it, `lineStep` bytes apart, their places `step` bytes apart. The result is
 * rounded to bytes.
 */
function pillowPass(
  data: RgbImage["data"],
  axis: { size: number; out: number; lines: number },
  from: { step: number; lineStep: number },
  to: { step: number; lineStep: number },
): Uint8Array<ArrayBuffer> {
  const { firsts, counts, weights, most } = pillowWeights(axis.size, axis.out);
  const result = new Uint8Array(axis.out * axis.lines * 3);
  for (let line = 0; line < axis.lines; line++)
    for (let place = 0; place < axis.out; place++) {
      const [first, count, own] = [firsts[place]!, counts[place]!, place * most];
      const source = line * from.lineStep + first * from.step;
      const target = line * to.lineStep + place * to.step;
      for (let c = 0; c < 3; c++) {
        let sum = 1 << (BITS - 1);
        for (let i = 0; i < count; i++)
          sum = (sum + weights[own + i]! * data[source + i * from.step + c]!) | 0;
        result[target + c] = Math.min(Math.max(sum >> BITS, 0), 255);
      }
    }
  return result;
}

function resizeWidth({ width, height, data }: RgbImage, out: number): RgbImage {
  if (out === width) return { width, height, data };
  const axis = { size: width, out, lines: height };
  const bytes = pillowPass(
    data,
    axis,
    { step: 3, lineStep: 3 * width },
    { step: 3, lineStep: 3 * out },
  );
  return { width: out, height, data: bytes };
}

function resizeHeight({ width, height, data }: RgbImage, out: number): RgbImage {
  if (out === height) return { width, height, data };
  const axis = { size: height, out, lines: width };
  const steps = { step: 3 * width, lineStep: 3 };
  return { width, height: out, data: pillowPass(data, axis, steps, steps) };
}

/**
 * `Image.resize((width, height))` of Pillow 13: bicubic, with antialiasing where it shrinks; byte for byte. The first
 * pass is along the width, unless the height loses more than twice as many pixels; between the two, bytes are rounded.
 * @throws ShapeError for sizes that are not positive integers.
 */
export function resizeLikePillow(image: RgbImage, width: number, height: number): RgbImage {
  checkImage("resizeLikePillow", image);
  checkSize("resizeLikePillow", width, height);
  const lost = image.height - height;
  return lost > 0 && lost > 2 * (image.width - width)
    ? resizeWidth(resizeHeight(image, height), width)
    : resizeHeight(resizeWidth(image, width), height);
}

/** Steps between two pixels that TensorFlow has weights for. */
const TABLE = 1024;

/** To the nearest integer, halves to the even one, as `lrintf`. */
function nearestEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/** For each output place: four input places and their f32 weights; what lies outside weighs nothing. */
function tensorflowWeights(size: number, out: number) {
  const scale = f32(size / out);
  const places = new Int32Array(4 * out);
  const weights = new Float32Array(4 * out);
  for (let to = 0; to < out; to++) {
    const at = f32(f32(f32(to + 0.5) * scale) - 0.5);
    const floor = Math.floor(at);
    const step = nearestEven(f32(at - floor) * TABLE);
    let total = 0;
    for (let i = 0; i < 4; i++) {
      const place = floor - 1 + i;
      const inside = place >= 0 && place < size;
      const weight = inside ? f32(cubic(i - 1 - step / TABLE)) : 0;
      places[4 * to + i] = Math.min(Math.max(place, 0), size - 1);
      weights[4 * to + i] = weight;
      total = f32(total + weight);
    }
    const factor = f32(1 / total);
    for (let i = 0; i < 4; i++) weights[4 * to + i]! *= factor;
  }
  return { places, weights };
}

/**
 * `tf.image.resize(image, [height, width], BICUBIC)`: centres of pixels at halves, no antialiasing, f32, neither rounded
 * nor clamped: values may lie outside [0, 255]. `[height, width, 3]`.
 * @throws ShapeError for sizes that are not positive integers.
 */
export function resizeLikeTensorflow(image: RgbImage, width: number, height: number): ImageInput {
  checkImage("resizeLikeTensorflow", image);
  checkSize("resizeLikeTensorflow", width, height);
  const xs = tensorflowWeights(image.width, width);
  const ys = tensorflowWeights(image.height, height);
  const sum = (w: Float32Array, at: number, value: (i: number) => number) => {
    let total = 0;
    for (let i = 0; i < 4; i++) total = f32(total + f32(value(i) * w[at + i]!));
    return total;
  };
  const data = new Float32Array(3 * width * height);
  const row = 3 * image.width;
  const column = new Float32Array(row); // one line, resized along y
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < row; i++)
      column[i] = sum(ys.weights, 4 * y, (k) => image.data[ys.places[4 * y + k]! * row + i]!);
    for (let i = 0; i < 3 * width; i++) {
      const [x, c] = [Math.floor(i / 3), i % 3];
      data[3 * y * width + i] = sum(
        xs.weights,
        4 * x,
        (k) => column[3 * xs.places[4 * x + k]! + c]!,
      );
    }
  }
  return { data, shape: [height, width, 3] };
}
