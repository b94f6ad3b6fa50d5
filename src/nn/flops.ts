// Multiply-adds as the reference counts them, so that published numbers can be compared. Not a
// measurement: its counts leave out everything but convolutions and linear layers.

export interface Flops {
  /** In the order of the computation. */
  readonly perPart: readonly number[];
  readonly total: number;
}

/** A convolution with SAME padding and a square kernel. */
export interface ConvShape {
  readonly inCh: number;
  readonly outCh: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly groups?: number;
}

/**
 * `base.py: count_conv_flops` for an input of `h` by `w`. Like the reference it divides sizes
 * without rounding up, so that odd sizes give fractions.
 */
export function convFlops(conv: ConvShape, h: number, w: number): number {
  const { inCh, outCh, kernel, stride = 1, groups = 1 } = conv;
  return ((outCh * h * w) / stride ** 2) * (inCh / groups) * kernel ** 2;
}

/** Something that counts itself, and divides the sizes of what follows by its stride. */
export interface Counted {
  readonly stride: number;
  readonly count: (h: number, w: number) => number;
}

export const counted = (conv: ConvShape): Counted => ({
  stride: conv.stride ?? 1,
  count: (h, w) => convFlops(conv, h, w),
});

/** The parts one after another, and a classifier at the end. */
export function countFlops(
  parts: readonly Counted[],
  classifier: number,
  h: number,
  w: number,
): Flops {
  let scale = 1;
  const perPart = parts.map(({ stride, count }) => {
    const n = count(h / scale, w / scale);
    scale *= stride;
    return n;
  });
  perPart.push(classifier);
  return { perPart, total: perPart.reduce((a, b) => a + b, 0) };
}
