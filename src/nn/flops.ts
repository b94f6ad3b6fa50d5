// Multiply-adds as the reference counts them, so that published numbers can be compared. Not a
// measurement: its counts leave out everything but convolutions and linear layers.

export interface Flops {
  /** In the order of the computation. */
  readonly perPart: readonly number[];
  readonly total: number;
}

export const flops = (perPart: readonly number[]): Flops => ({
  perPart,
  total: perPart.reduce((a, b) => a + b, 0),
});

/**
 * `base.py: count_conv_flops` for an input of `h` by `w`. Like the reference it divides sizes
 * without rounding up, so that odd sizes give fractions.
 */
export function convFlops(
  {
    inCh,
    outCh,
    kernel,
    stride = 1,
    groups = 1,
  }: {
    readonly inCh: number;
    readonly outCh: number;
    readonly kernel: number;
    readonly stride?: number;
    readonly groups?: number;
  },
  h: number,
  w: number,
): number {
  return ((outCh * h * w) / stride ** 2) * (inCh / groups) * kernel ** 2;
}
