// Pictures to inputs: Pillow's resize against bytes that Pillow gave (the goldens hold more), TensorFlow's against an
// independent form in f64, the crops of the reference by hand.
import { describe, expect, test } from "vitest";
import { io, OptionError, random, ShapeError } from "../../src/index.ts";

function noise(width: number, height: number, seed = 0): io.RgbImage {
  const { data } = random.randint(random.key(seed), [width * height * 3], { maxval: 256 });
  return { width, height, data: Uint8Array.from(data) };
}

/** Keys' kernel, a = -0.5, from the conditions that define it: cubic Hermite with central differences. */
function keys(values: readonly number[], t: number): number {
  const [a, b, c, d] = values as [number, number, number, number];
  const [m0, m1] = [(c - a) / 2, (d - b) / 2];
  const h = (u: number) => (1 + 2 * u) * (1 - u) ** 2;
  return h(t) * b + t * (1 - t) ** 2 * m0 + h(1 - t) * c - t * t * (1 - t) * m1;
}

/** What Pillow 13.0.0 makes of `ramp`; the third one begins with the height. */
const PILLOW = [
  {
    width: 5,
    height: 4,
    to: [3, 2] as [number, number],
    bytes: [27, 113, 182, 40, 128, 195, 53, 143, 208, 106, 192, 47, 119, 207, 60, 132, 222, 73],
  },
  {
    width: 3,
    height: 2,
    to: [4, 3] as [number, number],
    bytes: [
      0, 85, 171, 0, 87, 180, 7, 94, 187, 15, 102, 188, 10, 101, 187, 15, 103, 192, 23, 110, 199,
      31, 118, 204, 21, 116, 203, 29, 118, 204, 39, 125, 211, 46, 133, 220,
    ],
  },
  {
    width: 4,
    height: 9,
    to: [3, 2] as [number, number],
    bytes: [71, 144, 151, 84, 155, 129, 97, 167, 106, 167, 84, 122, 147, 95, 132, 126, 106, 142],
  },
  {
    width: 2,
    height: 2,
    to: [2, 3] as [number, number],
    bytes: [0, 86, 173, 4, 91, 184, 8, 95, 182, 13, 103, 193, 17, 104, 191, 22, 115, 202],
  },
  {
    width: 7,
    height: 3,
    to: [2, 3] as [number, number],
    bytes: [10, 98, 187, 37, 125, 214, 70, 159, 196, 97, 186, 24, 131, 224, 50, 158, 188, 77],
  },
];

describe("resizeLikePillow", () => {
  const resize = (width: number, height: number, to: [number, number], bytes: number[]) => [
    ...io.resizeLikePillow({ width, height, data: Uint8Array.from(bytes) }, ...to).data,
  ];

  const ramp = (width: number, height: number) =>
    Array.from({ length: width * height * 3 }, (_, i) => (i * 37 + (i % 5) * 50) % 256);
  test.each(PILLOW)("$width x $height to $to", ({ width, height, to, bytes }) => {
    expect(resize(width, height, to, ramp(width, height))).toEqual(bytes);
  });

  test("the same size is the same picture, one colour stays one colour", () => {
    const image = noise(7, 5);
    expect(io.resizeLikePillow(image, 7, 5).data).toEqual(image.data);
    const grey = { width: 3, height: 40, data: new Uint8Array(360).fill(201) };
    expect(new Set(io.resizeLikePillow(grey, 50, 2).data)).toEqual(new Set([201]));
  });
  test("sizes are checked", () => {
    const image = noise(2, 2);
    expect(() => io.resizeLikePillow(image, 0, 2)).toThrow(
      /width is an integer of at least 1, got 0/,
    );
    expect(() => io.resizeLikePillow(image, 2, 1.5)).toThrow(ShapeError);
    const short = { ...image, data: image.data.subarray(1) };
    expect(() => io.resizeLikePillow(short, 2, 2)).toThrow(/2x2 has 12 bytes, got 11/);
    expect(() => io.resizeLikeTensorflow(short, 2, 2)).toThrow(ShapeError);
  });
});

describe("resizeLikeTensorflow", () => {
  /** One line by the definition in f64, edges by renormalised weights; `steps` is the grid of its weights. */
  function line(values: readonly number[], out: number, steps: number): number[] {
    const at = (i: number, of: readonly number[]) => of[i] ?? 0;
    const ones = values.map(() => 1);
    return Array.from({ length: out }, (_, to) => {
      const place = (to + 0.5) * (values.length / out) - 0.5;
      const first = Math.floor(place);
      const t = Math.round((place - first) * steps) / steps;
      const part = (of: readonly number[]) =>
        keys(
          [-1, 0, 1, 2].map((i) => at(first + i, of)),
          t,
        );
      return part(values) / part(ones);
    });
  }
  function expected({ width, height, data }: io.RgbImage, out: [number, number], steps: number) {
    const [w, h] = out;
    const result = new Float64Array(w * h * 3);
    for (let c = 0; c < 3; c++) {
      const columns = Array.from({ length: width }, (_, x) =>
        line(
          Array.from({ length: height }, (_, y) => data[3 * (y * width + x) + c]!),
          h,
          steps,
        ),
      );
      for (let y = 0; y < h; y++)
        line(
          columns.map((column) => column[y]!),
          w,
          steps,
        ).forEach((v, x) => {
          result[3 * (y * w + x) + c] = v;
        });
    }
    return result;
  }
  const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);

  test.each([
    [13, 9, 13, 9],
    [5, 7, 16, 12],
    [40, 31, 11, 8],
    [3, 60, 24, 24],
    [1, 1, 4, 4],
    [2, 1, 5, 3],
  ])("%i x %i to %i x %i", (width, height, w, h) => {
    const image = noise(width, height, w);
    const { data, shape } = io.resizeLikeTensorflow(image, w, h);
    expect(shape).toEqual([h, w, 3]);
    expect(worst(data, expected(image, [w, h], 1024))).toBeLessThan(1e-4);
  });
  test("where the grid holds the places, it is Keys' interpolation itself", () => {
    const image = noise(8, 8, 3);
    const { data } = io.resizeLikeTensorflow(image, 32, 16);
    expect(worst(data, expected(image, [32, 16], 2 ** 40))).toBeLessThan(1e-4);
  });
  test("values are not clamped", () => {
    const bytes = Uint8Array.from({ length: 3 * 8 }, (_, i) => (i < 12 ? 0 : 255));
    const { data } = io.resizeLikeTensorflow({ width: 8, height: 1, data: bytes }, 32, 1);
    expect(Math.min(...data)).toBeLessThan(-10);
    expect(Math.max(...data)).toBeGreaterThan(265);
  });
});

describe("preprocessing", () => {
  test("the demo: larger by 32, 16 cut off, normalised in f64", () => {
    const image = noise(50, 40);
    const { resized, cropped } = io.demoSteps(image, 24);
    expect([resized.width, resized.height, cropped.width, cropped.height]).toEqual([
      56, 56, 24, 24,
    ]);
    const { data, shape } = io.demoImage(image, 24);
    expect(shape).toEqual([24, 24, 3]);
    const [x, y, c] = [5, 9, 2];
    const byte = resized.data[3 * ((y + 16) * 56 + x + 16) + c]!;
    expect(cropped.data[3 * (y * 24 + x) + c]).toBe(byte);
    expect(data[3 * (y * 24 + x) + c]).toBe(Math.fround((byte - 0.406 * 255) / (0.225 * 255)));
  });

  /** Undoes the normalisation, which is in f32. */
  const levels = ({ data }: io.ImageInput) =>
    Array.from(data, (v, i) => v * io.STDDEV_RGB[i % 3]! + io.MEAN_RGB[i % 3]!);
  /** A picture whose red is x and whose green is y. */
  const places = (width: number, height: number): io.RgbImage => {
    const bytes = Array.from({ length: width * height }, (_, i) => [
      i % width,
      Math.floor(i / width),
      0,
    ]);
    return { width, height, data: Uint8Array.from(bytes.flat()) };
  };

  test("crop_resize: the centre, in proportion to a border of 32, then resized", () => {
    // 200 / (32 + 32) = 3.125 along the shorter side: a square of 100 from (76, 50).
    const found = levels(io.evalImage(places(251, 200), 32));
    const left = found[0]!;
    const right = found[3 * 31]!;
    const step = 100 / 32;
    expect(left).toBeCloseTo(76 + 0.5 * step - 0.5, 1);
    expect(right).toBeCloseTo(76 + 31.5 * step - 0.5, 1);
    expect(found[1]).toBeCloseTo(50 + 0.5 * step - 0.5, 1);
    expect(io.evalImage(places(251, 200), 32, "crop_resize").data).toEqual(
      io.evalImage(places(251, 200), 32).data,
    );
  });
  test("resize_crop: a part of the resized picture, or a border of pixels", () => {
    const image = places(64, 48);
    const whole = io.resizeLikeTensorflow(image, 36, 36);
    for (const mode of ["resize_crop_0.875", "resize_crop_5"] as const) {
      const { data, shape } = io.evalImage(image, 32, mode);
      const full = mode === "resize_crop_5" ? 37 : 36;
      const { data: all } = full === 36 ? whole : io.resizeLikeTensorflow(image, 37, 37);
      const start = Math.floor((full - 32 + 1) / 2);
      expect(shape).toEqual([32, 32, 3]);
      const f = Math.fround;
      const value = all[3 * ((start + 3) * full + start + 4) + 1]!;
      const normal = f(f(value - f(io.MEAN_RGB[1])) / f(io.STDDEV_RGB[1]));
      expect(data[3 * (3 * 32 + 4) + 1]).toBe(normal);
    }
  });
  test("modes that do not exist, pictures of which nothing is left, parts that lie outside", () => {
    const image = noise(1, 1);
    expect(() => io.evalImage(image, 32, "resize_crop_0")).toThrow(OptionError);
    expect(() => io.evalImage(image, 32, "crop" as "crop_resize")).toThrow(/got "crop"/);
    expect(() => io.evalImage(image, 32)).toThrow(/leaves nothing of an image of 1x1/);
    const box = { left: 1, top: 0, width: 1, height: 1 };
    expect(() => io.cropImage(image, box)).toThrow(/1x1 at \(1, 0\) does not lie in 1x1/);
    expect(() => io.demoImage(image, 0)).toThrow(ShapeError);
  });
});
