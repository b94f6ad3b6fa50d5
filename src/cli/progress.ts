// Progress: one line that is written over on a terminal, plain lines elsewhere.
import type { Progress } from "../train/index.ts";

/** Elsewhere, a line between the ends of epochs at most this often. */
const PLAIN_EVERY_MS = 10_000;

export const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  return s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${s % 60} s`;
}

/** One report in one line. */
export function line(p: Progress): string {
  const parts = [
    `epoch ${p.epoch}/${p.epochs}`,
    `step ${p.step}/${p.steps}`,
    `loss ${p.loss.toFixed(3)}`,
    `accuracy ${percent(p.accuracy)}`,
    `${Math.round(p.imagesPerSecond)} images/s`,
    ...(p.step < p.steps ? [`${duration(p.secondsLeft)} left`] : []),
    ...(p.test ? [`test ${percent(p.test.correct / p.test.count)}`] : []),
  ];
  return parts.join("  ");
}

export interface Reporter {
  progress(progress: Progress): void;
  compiling(done: number, all: number): void;
}

export function reporter(out: NodeJS.WriteStream): Reporter {
  let last = performance.now();
  let announced = false;
  const over = (text: string, end: string) => out.write(`\r\x1b[K${text}${end}`);
  return {
    compiling(done, all) {
      if (out.isTTY) over(done < all ? `compiling kernels ${done}/${all}` : "", "");
      else if (!announced) out.write(`compiling ${all} kernels\n`);
      announced = true;
    },
    progress(p) {
      const text = line(p);
      if (out.isTTY) return void over(text.slice(0, (out.columns || 80) - 1), p.test ? "\n" : "");
      const now = performance.now();
      if (!p.test && now - last < PLAIN_EVERY_MS) return;
      last = now;
      out.write(`${text}\n`);
    },
  };
}
