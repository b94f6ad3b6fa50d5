// The judging rule for training curves: step by step, as long as JAX's own f32 and f64 runs agree.
import { ulpDistance } from "./compare.ts";
import { failed, type Judgement, MAX_RATIO } from "./judge.ts";

/** JAX's f32 and f64 values of one quantity, one a step. */
export interface Series {
  readonly f32: ArrayLike<number>;
  readonly f64: ArrayLike<number>;
}

/** Own error at which the two runs of JAX have parted. */
const PARTED = 1e-5;
/** Smallest own error that is granted a step. */
export const LOSS_FLOOR = 1e-6;
export const GRAD_NORM_FLOOR = 5e-6;

/** JAX's relative difference between f32 and f64 up to each step; NaN from the first NaN on. */
export function runningOwn({ f32, f64 }: Series): number[] {
  let worst = 0;
  return Array.from({ length: f64.length }, (_, t) => {
    const own = Math.abs(f32[t]! - f64[t]!) / Math.abs(f64[t]!);
    worst = Math.max(worst, own); // NaN stays NaN
    return worst;
  });
}

/** How many steps are judged: those before the first where the runs have parted or one is NaN. */
export function judgedSteps(loss: Series): number {
  const own = runningOwn(loss);
  const first = own.findIndex((value) => !(value <= PARTED));
  return first < 0 ? own.length : first;
}

/** The first step whose value is not finite in one of JAX's runs, or the number of steps. */
export function finiteSteps({ f32, f64 }: Series): number {
  const all = Array.from({ length: f64.length }, (_, t) => f32[t]! + f64[t]!);
  const first = all.findIndex((value) => !Number.isFinite(value));
  return first < 0 ? all.length : first;
}

/** Judges the first `steps` steps; the row shows the step with the worst ratio. */
export function judgeSteps(
  ours: ArrayLike<number>,
  series: Series,
  steps: number,
  floor: number,
): Judgement {
  if (ours.length < steps) return failed("curve", `${ours.length} steps, expected ${steps}`);
  const own = runningOwn(series);
  const rows = Array.from({ length: steps }, (_, t) => {
    const [y, f32, f64] = [ours[t]!, series.f32[t]!, series.f64[t]!];
    const e = Math.abs(y - f64) / Math.abs(f64);
    const ratio = e / Math.max(own[t]!, floor);
    const e32 = Math.abs(y - f32) / Math.abs(f32);
    const maxAbs = Math.abs(y - f64);
    return { t, e, own: own[t]!, ratio, maxAbs, e32, maxUlp: ulpDistance(y, f32) };
  });
  const bad = rows.find(({ ratio }) => !(ratio <= MAX_RATIO));
  const worst = rows.reduce((a, b) => (b.ratio > a.ratio ? b : a), rows[0]!);
  const { t, ...figures } = bad ?? worst;
  const note = `step ${t}, of ${steps} judged${steps < own.length ? ` (${own.length} in all)` : ""}`;
  return { rule: "curve", pass: !bad, elements: steps, ...figures, note };
}

/** Where JAX's loss turns NaN, ours does within two steps. */
export function judgeFirstNaN(ours: ArrayLike<number>, first: number): Judgement {
  const mine = Array.from(ours).findIndex(Number.isNaN);
  const e = mine < 0 ? Number.POSITIVE_INFINITY : Math.abs(mine - first);
  const note =
    mine < 0
      ? `never NaN in ${ours.length} steps, JAX is at ${first}`
      : `NaN at ${mine}, JAX at ${first}`;
  return { ...failed("curve", note), pass: e <= 2, elements: 1, e };
}
