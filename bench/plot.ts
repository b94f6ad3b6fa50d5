// The roofline plot of a run as SVG: intensity against GFLOP/s, the adapter's two roofs, a dot a case. Written by hand.
import { type Box, type Placed, place, type Segment } from "./labels.ts";
import { digits, families } from "./report.ts";
import type { Peak } from "./roofline.ts";
import { adapterOf, type Report, type Row } from "./row.ts";
import { type Style, styleOf } from "./styles.ts";

const [WIDTH, HEIGHT] = [1200, 760];
const PLOT = { left: 78, right: 985, top: 96, bottom: 690 };
const RADIUS = 4.6;
const SIZE = 11.5; // of a dot's name
const INK = "#1f2933";
const GREY = "#5c6670";
interface Dot {
  readonly row: Row;
  readonly style: Style;
  readonly x: number;
  readonly y: number;
  /** GFLOP/s, and which part of the roof above it that is. */
  readonly gflops: number;
  readonly part: number;
}

/** A logarithmic axis. */
interface Axis {
  readonly low: number;
  readonly high: number;
  /** Where a value lies. */
  readonly at: (value: number) => number;
}

function axis(low: number, high: number, from: number, to: number): Axis {
  const span = Math.log(high / low);
  return { low, high, at: (value) => from + ((to - from) * Math.log(value / low)) / span };
}

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]!);
const px = (x: number): string => String(Math.round(x * 10) / 10);

interface TextOptions {
  readonly size?: number;
  readonly weight?: number;
  readonly fill?: string;
  readonly anchor?: "start" | "middle" | "end";
  readonly turn?: number;
  /** A white edge, so that lines behind do not cross the letters. */
  readonly halo?: boolean;
}

const HALO = ' stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke"';

function text(x: number, y: number, words: string, options: TextOptions = {}): string {
  const { size = 12, weight = 400, fill = INK, anchor = "start", turn, halo } = options;
  const turned = turn === undefined ? "" : ` transform="rotate(${px(turn)} ${px(x)} ${px(y)})"`;
  return (
    `<text x="${px(x)}" y="${px(y)}" font-size="${size}" font-weight="${weight}" fill="${fill}" ` +
    `text-anchor="${anchor}"${halo ? HALO : ""}${turned}>${escaped(words)}</text>`
  );
}

const line = ({ from, to }: Segment, stroke: string, width: number, dash = ""): string =>
  `<line x1="${px(from.x)}" y1="${px(from.y)}" x2="${px(to.x)}" y2="${px(to.y)}" stroke="${stroke}" ` +
  `stroke-width="${width}"${dash && ` stroke-dasharray="${dash}"`}/>`;

/** Wide enough for any usual sans serif. */
const widthOf = (words: string, size: number): number => 0.58 * size * words.length;

/** Rows that a roofline can show: with a time, operations and bytes. */
const canBeShown = (row: Row): boolean => row.time !== undefined && row.flops > 0 && row.bytes > 0;

/** What the adapter can do at an intensity. */
const roofAt = ({ gflops, copyGBs }: Peak, intensity: number): number =>
  Math.min(gflops, copyGBs * intensity);

/**
 * The plot of a report's timed cases: a complete SVG file, 1200 x 760. Each dot has its name and numbers as a tooltip;
 * names stand beside as many dots as have room, those nearest to and farthest from the roof first.
 */
export function rooflineSvg(report: Report): string {
  const { peak } = report;
  const rows = report.rows.filter(canBeShown);
  const groups = [...families(rows)];
  const ridge = peak.gflops / peak.copyGBs;
  const intensities = rows.map(({ flops, bytes }) => flops / bytes);
  const speeds = rows.map(({ time }) => time!.gflops);
  const [low, high] = [Math.min(ridge / 4, ...intensities), Math.max(ridge * 4, ...intensities)];
  const x = axis(0.7 * low, 1.4 * high, PLOT.left, PLOT.right);
  const floor = Math.min(peak.gflops / 20, ...speeds);
  const y = axis(0.7 * floor, 1.5 * Math.max(peak.gflops, ...speeds), PLOT.bottom, PLOT.top);
  const dots: Dot[] = groups.flatMap(([, own], i) =>
    own.map((row) => {
      const [intensity, gflops] = [row.flops / row.bytes, row.time!.gflops];
      const part = gflops / roofAt(peak, intensity);
      return {
        row,
        style: styleOf(i, own.length),
        x: x.at(intensity),
        y: y.at(gflops),
        gflops,
        part,
      };
    }),
  );
  const { adapter, driver } = adapterOf(report.adapter);
  const about = [adapter, driver, report.date.slice(0, 10)].filter(Boolean).join("  ·  ");
  const what =
    `${rows.length} cases of nfgrad bench on logarithmic axes: operations a byte against GFLOP/s` +
    `${rows.length ? `, from ${digits(Math.min(...speeds))} to ${digits(Math.max(...speeds))}` : ""}, under roofs ` +
    `of ${digits(peak.gflops)} GFLOP/s and ${digits(peak.copyGBs)} GB/s. ${about}.`;
  const roofs = roofsOf(peak, x, y);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" ` +
      `role="img" aria-labelledby="title desc" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif">`,
    `<title id="title">How near each kernel is to the adapter's limits</title>`,
    `<desc id="desc">${escaped(what)}</desc>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(PLOT.left, 40, "How near each kernel is to the adapter's limits", {
      size: 21,
      weight: 600,
    }),
    text(PLOT.left, 64, about, { size: 13, fill: GREY }),
    ...axes(x, y),
    ...roofs.svg,
    ...names(dots, roofs).flatMap(nameSvg),
    ...dots.toSorted((a, b) => Number(b.style.many) - Number(a.style.many)).map(dotSvg),
    ...legend(groups),
    "</svg>",
    "",
  ].join("\n");
}

/** The ground, its lines and their numbers: powers of two across, 1, 2 and 5 up. */
function axes(x: Axis, y: Axis): string[] {
  const { left, right, top, bottom } = PLOT;
  const powers = (low: number, high: number) =>
    Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, i) => Math.ceil(low) + i);
  const octaves = powers(Math.log2(x.low), Math.log2(x.high));
  const decades = powers(Math.floor(Math.log10(y.low)), Math.log10(y.high));
  const rows = decades
    .flatMap((d) => [1, 2, 5].map((m) => ({ m, value: m * 10 ** d })))
    .filter(({ value }) => value >= y.low && value <= y.high);
  const sparse = rows.length > 12;
  const shown = (value: number) => String(Number(value.toPrecision(1)));
  const fraction = (e: number) => (e < 0 ? `1/${2 ** -e}` : String(2 ** e));
  return [
    ...octaves.flatMap((e) => {
      const at = x.at(2 ** e);
      const grid = line({ from: { x: at, y: top }, to: { x: at, y: bottom } }, "#edf0f2", 1);
      const number = text(at, bottom + 19, fraction(e), { fill: GREY, anchor: "middle" });
      return octaves.length > 14 && e % 2 ? [grid] : [grid, number];
    }),
    ...rows.flatMap(({ m, value }) => {
      const at = y.at(value);
      const grid = line({ from: { x: left, y: at }, to: { x: right, y: at } }, "#edf0f2", 1);
      const number = text(left - 9, at + 4, shown(value), { fill: GREY, anchor: "end" });
      return sparse && m !== 1 ? [grid] : [grid, number];
    }),
    line({ from: { x: left, y: bottom }, to: { x: right, y: bottom } }, "#9aa5b1", 1),
    line({ from: { x: left, y: top }, to: { x: left, y: bottom } }, "#9aa5b1", 1),
    text((left + right) / 2, bottom + 46, "intensity: operations a byte that must be moved", {
      size: 13,
      anchor: "middle",
    }),
    text(26, (top + bottom) / 2, "GFLOP/s", { size: 13, anchor: "middle", turn: -90 }),
  ];
}

interface Roofs {
  readonly svg: readonly string[];
  readonly lines: readonly Segment[];
  readonly boxes: readonly Box[];
}

/** Both roofs with their numbers, and half and a quarter of them. */
function roofsOf(peak: Peak, x: Axis, y: Axis): Roofs {
  const ridge = peak.gflops / peak.copyGBs;
  const corners = (part: number) => {
    const start = Math.max(x.low, y.low / (part * peak.copyGBs));
    const at = (intensity: number) => ({
      x: x.at(intensity),
      y: y.at(part * roofAt(peak, intensity)),
    });
    return [at(start), at(ridge), at(x.high)] as const;
  };
  const [start, corner, end] = corners(1);
  const slope: Segment = { from: start, to: corner };
  const flat: Segment = { from: corner, to: end };
  const turn = (Math.atan2(corner.y - start.y, corner.x - start.x) * 180) / Math.PI;
  const words = { x: (start.x + 2 * corner.x) / 3 - 7, y: (start.y + 2 * corner.y) / 3 - 9 };
  const copyWords = `${digits(peak.copyGBs)} GB/s, copy`;
  const parts = [0.5, 0.25].map((part) => ({ part, points: corners(part) }));
  const flatWords = `${digits(peak.gflops)} GFLOP/s, multiply-add`;
  const wide = widthOf(flatWords, 13);
  return {
    svg: [
      ...parts.map(({ points }) => {
        const path = points.map((p) => `${px(p.x)},${px(p.y)}`).join(" ");
        return `<polyline points="${path}" fill="none" stroke="#b8c1ca" stroke-width="1" stroke-dasharray="3 4"/>`;
      }),
      ...parts.map(({ part, points }) =>
        text(points[2].x + 7, points[2].y + 4, `${100 * part} %`, { size: 11, fill: GREY }),
      ),
      `<polyline points="${[start, corner, end].map((p) => `${px(p.x)},${px(p.y)}`).join(" ")}" fill="none" ` +
        `stroke="${INK}" stroke-width="2" stroke-linejoin="round"/>`,
      text(end.x - 6, end.y - 9, flatWords, { size: 13, weight: 600, anchor: "end" }),
      text(words.x, words.y, copyWords, { size: 13, weight: 600, anchor: "middle", turn }),
    ],
    lines: [slope, flat],
    boxes: [
      { x: end.x - 6 - wide, y: end.y - 22, width: wide, height: 18 },
      ...Array.from({ length: 9 }, (_, i) => {
        const along = ((i - 4) / 9) * widthOf(copyWords, 13); // a turned text is a row of squares
        const angle = (turn * Math.PI) / 180;
        const at = { x: words.x + along * Math.cos(angle), y: words.y + along * Math.sin(angle) };
        return { x: at.x - 12, y: at.y - 14, width: 20, height: 20 };
      }),
    ],
  };
}

/** Names for the dots, the telling ones first. */
function names(dots: readonly Dot[], { lines, boxes }: Roofs): Placed<Dot>[] {
  const height = SIZE + 3;
  const wanted = byInterest(dots).map((item) => {
    return { item, x: item.x, y: item.y, width: widthOf(nameOf(item), SIZE), height };
  });
  const around = RADIUS + 1.5;
  return place(wanted, {
    inside: {
      ...{ x: PLOT.left + 4, y: PLOT.top + 2 },
      ...{ width: PLOT.right - PLOT.left - 6, height: PLOT.bottom - PLOT.top - 4 },
    },
    boxes: [
      ...boxes,
      ...dots.map(({ x, y }) => ({
        ...{ x: x - around, y: y - around, width: 2 * around, height: 2 * around },
      })),
    ],
    lines,
  });
}

/** Of each family the nearest to the roof, then the farthest from it, the second nearest, ...; small families first. */
function byInterest(dots: readonly Dot[]): Dot[] {
  const members = new Map<string, Dot[]>();
  for (const dot of dots)
    members.set(dot.row.family, [...(members.get(dot.row.family) ?? []), dot]);
  const ranked = [...members.values()].flatMap((own) => {
    const left = own.toSorted((a, b) => b.part - a.part);
    const size = own.length;
    return own.map((_, rank) => ({ dot: rank % 2 ? left.pop()! : left.shift()!, rank, size }));
  });
  return ranked.sort((a, b) => a.rank - b.rank || a.size - b.size).map(({ dot }) => dot);
}

/** Of a large family the names go without its own: the colour says it. */
const nameOf = ({ row, style }: Dot): string =>
  style.many ? row.name.slice(row.family.length + 1) : row.name;

function nameSvg({ item, box, anchor, leader }: Placed<Dot>): string[] {
  const { colour } = item.style;
  const x = box.x + { start: 0, middle: box.width / 2, end: box.width }[anchor];
  const options = { size: SIZE, fill: colour, anchor, halo: true };
  const words = text(x, box.y + box.height - 4, nameOf(item), options);
  return leader ? [line(leader, colour, 0.7), words] : [words];
}

function dotSvg({ row, style, x, y, gflops, part }: Dot): string {
  const told =
    `${row.name}: ${digits(gflops)} GFLOP/s, ${digits(row.flops / row.bytes)} operations a byte, ` +
    `${(100 * part).toFixed(0)} % of the roof`;
  return (
    `<path class="dot" transform="translate(${px(x)} ${px(y)})" d="${style.shape(RADIUS)}" fill="${style.colour}" ` +
    `fill-opacity="0.9" stroke="#ffffff" stroke-width="1.2"><title>${escaped(told)}</title></path>`
  );
}

function legend(groups: readonly (readonly [string, readonly Row[]])[]): string[] {
  const left = PLOT.right + 58;
  const families = groups.flatMap(([family, own], i) => {
    const y = PLOT.top + 14 + 22 * i;
    const { colour, shape } = styleOf(i, own.length);
    return [
      `<path transform="translate(${left} ${y - 4})" d="${shape(RADIUS)}" fill="${colour}"/>`,
      text(left + 13, y, `${family}  (${own.length})`, { size: 13 }),
    ];
  });
  return families;
}
