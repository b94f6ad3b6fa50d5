// The page's curves, drawn by uPlot with the theme's colours. They draw what they are given and keep nothing.
import uPlot from "uplot";
import { token } from "../common/dom.ts";
import { onTheme } from "../common/shell.ts";
import { type Both, WHICH, type Which } from "./protocol.ts";

const COLOURS: Both<string> = { clipped: "accent", free: "warm" };

/** A chart that fills its element and follows its size and the theme. */
function chart(
  element: HTMLElement,
  options: Pick<uPlot.Options, "series" | "scales" | "axes">,
  data: uPlot.AlignedData,
): (data: uPlot.AlignedData) => void {
  const size = () => ({ width: element.clientWidth, height: element.clientHeight });
  const plot = new uPlot(
    {
      ...options,
      ...size(),
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 8, 0, 0],
    },
    data,
    element,
  );
  new ResizeObserver(() => plot.setSize(size())).observe(element);
  onTheme(() => plot.redraw(false));
  let next: uPlot.AlignedData | null = null;
  return (given) => {
    if (!next)
      requestAnimationFrame(() => {
        plot.setData(next!);
        next = null;
      });
    next = given;
  };
}

const font = () => `12px ${token("sans")}`;
/** Axes without ornament. */
const axis = (more: uPlot.Axis = {}): uPlot.Axis => ({
  stroke: () => token("soft"),
  font: font(),
  grid: { stroke: () => token("line"), width: 1 },
  ticks: { show: false },
  ...more,
});

/** Values by step of both networks, thinned so that a long run is drawn as quickly as a short one. */
export interface Curve {
  add(step: number, values: Partial<Both<number>>): void;
  /** Forgets all that came after this step; 0: everything. */
  cut(step: number): void;
  /** Moving averages now; a network that diverged has none. */
  readonly mean: Partial<Both<number>>;
}

const MOST = 1200;
const KEEP = 0.9; // of the smoothed value, a step

type Column = (number | null)[];

/** A curve chart from 0 to `top` with a line `every` so much: faint values of each step, and a line through their moving average. */
export function curve(
  element: HTMLElement,
  top: number,
  every: number,
  format: (value: number) => string,
): Curve {
  const steps: number[] = [];
  const raw: Both<Column> = { clipped: [], free: [] };
  const smooth: Both<Column> = { clipped: [], free: [] };
  const mean: { -readonly [K in Which]?: number } = {};
  const columns = () => [...WHICH.map((w) => raw[w]), ...WHICH.map((w) => smooth[w])];
  const table = () => [steps, ...columns()] as uPlot.AlignedData;
  const line = (which: Which, faint: boolean): uPlot.Series => ({
    stroke: () => token(COLOURS[which]) + (faint ? "40" : ""),
    width: faint ? 1 : 2.25,
    points: { show: false },
  });
  const draw = chart(
    element,
    {
      series: [{}, ...WHICH.map((w) => line(w, true)), ...WHICH.map((w) => line(w, false))],
      scales: { x: { time: false }, y: { range: [0, top] } },
      axes: [
        axis({ space: 70 }),
        axis({ size: 46, incrs: [every], space: 20, values: (_, ticks) => ticks.map(format) }),
      ],
    },
    table(),
  );
  const filter = (keep: (i: number) => boolean) => {
    const kept = steps.map((_, i) => i).filter(keep);
    for (const column of [steps as Column, ...columns()])
      column.splice(0, column.length, ...kept.map((i) => column[i]!));
  };
  return {
    mean,
    add(step, values) {
      steps.push(step);
      for (const which of WHICH) {
        const value = values[which];
        if (value === undefined) delete mean[which];
        else mean[which] = KEEP * (mean[which] ?? value) + (1 - KEEP) * value;
        // Far outside the chart a line is a line upwards; canvases dislike 1e30.
        const shown = (v: number | undefined) => (v === undefined ? null : Math.min(v, 10 * top));
        raw[which].push(shown(value));
        smooth[which].push(value === undefined ? null : shown(mean[which]));
      }
      if (steps.length > MOST) filter((i) => i % 2 === 0);
      draw(table());
    },
    cut(step) {
      filter((i) => steps[i]! <= step);
      for (const which of WHICH) {
        const value = smooth[which].at(-1) ?? null;
        if (value === null) delete mean[which];
        else mean[which] = value;
      }
      draw(table());
    },
  };
}

/** The signal-propagation plot: variance after the stem and each block; dashed, of each block's branch. */
export function signalChart(element: HTMLElement, blocks: () => number) {
  const series = (which: Which, dashed: boolean): uPlot.Series => ({
    stroke: () => token(COLOURS[which]),
    width: 2,
    ...(dashed && { dash: [5, 4] }),
    points: { show: true, size: 7, fill: () => token("card"), stroke: () => token(COLOURS[which]) },
  });
  const nameOf = (i: number) =>
    Number.isInteger(i) && i >= 0 && i <= blocks() ? (i === 0 ? "stem" : `block ${i}`) : "";
  const draw = chart(
    element,
    {
      series: [{}, ...WHICH.map((w) => series(w, false)), ...WHICH.map((w) => series(w, true))],
      scales: {
        x: { time: false, range: () => [-0.25, blocks() + 0.25] },
        y: { distr: 3, range: (_, min, max) => [Math.min(0.01, min ?? 1), Math.max(10, max ?? 1)] },
      },
      axes: [
        axis({
          splits: () => Array.from({ length: blocks() + 1 }, (_, i) => i),
          values: (_, ticks) => ticks.map(nameOf),
          grid: { show: false },
          size: 32,
        }),
        axis({
          size: 52,
          splits: (_, __, min, max) => {
            const [from, to] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
            const every = Math.ceil((to - from) / 6); // a signal that explodes has many powers
            const count = Math.floor((to - from) / every) + 1;
            return Array.from({ length: count }, (_, i) => 10 ** (from + every * i));
          },
          // Between powers uPlot leaves some ticks without a number.
          values: (_, ticks) => ticks.map((t: number | null) => (t === null ? "" : short(t))),
        }),
      ],
    },
    [[], [], [], [], []],
  );
  return (variance: Partial<Both<readonly number[]>>, branch: Partial<Both<readonly number[]>>) => {
    const x = Array.from({ length: blocks() + 1 }, (_, i) => i);
    const positive = (v: number | undefined) =>
      v !== undefined && v > 1e-12 && v < 1e30 ? v : null;
    const column = (values: readonly number[] | undefined, from: number) =>
      x.map((i) => positive(values?.[i - from]));
    draw([
      x,
      ...WHICH.map((w) => column(variance[w], 0)),
      ...WHICH.map((w) => column(branch[w], 1)),
    ] as uPlot.AlignedData);
  };
}

/** A number in few characters: 0.02, 3, 1e6. */
function short(value: number): string {
  if (value >= 1e4 || value < 1e-3) return value.toExponential(0).replace("e+", "e");
  return String(Number(value.toPrecision(2)));
}
