// Small grey images in a terminal: two pixels a character, one above the other.
import type { Images } from "../io/datasets.ts";

const BLOCKS = [" ", "▄", "▀", "█"] as const;

/** One image as lines of half blocks, without `trim` pixels on each side. Light pixels are drawn. */
export function drawImage(images: Images, index: number, trim = 0): string[] {
  const { height, width, channels, pixels } = images;
  const on = (y: number, x: number) =>
    y < height - trim && pixels[((index * height + y) * width + x) * channels]! > 100;
  const lines: string[] = [];
  for (let y = trim; y < height - trim; y += 2) {
    let line = "";
    for (let x = trim; x < width - trim; x++)
      line += BLOCKS[(on(y, x) ? 2 : 0) + (on(y + 1, x) ? 1 : 0)];
    lines.push(line);
  }
  return lines;
}

/** Blocks of lines beside each other, each under its caption, as many a row as fit. */
export function beside(
  blocks: readonly { readonly caption: string; readonly lines: readonly string[] }[],
  columns: number,
): string[] {
  const width = Math.max(
    ...blocks.flatMap(({ caption, lines }) => [caption, ...lines].map((l) => l.length)),
  );
  const perRow = Math.max(1, Math.floor((columns + 2) / (width + 2)));
  const out: string[] = [];
  for (let at = 0; at < blocks.length; at += perRow) {
    const row = blocks.slice(at, at + perRow).map(({ caption, lines }) => [caption, ...lines]);
    const tallest = Math.max(...row.map((lines) => lines.length));
    for (let y = 0; y < tallest; y++)
      out.push(
        row
          .map((lines) => (lines[y] ?? "").padEnd(width))
          .join("  ")
          .trimEnd(),
      );
    out.push("");
  }
  return out;
}
