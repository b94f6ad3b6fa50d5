// The roofline plot: well-formed, complete, and its names in places of their own.
import { describe, expect, test } from "vitest";
import * as bench from "./index.ts";
import { crosses, overlaps, place } from "./labels.ts";
import { failing, report, row } from "./testing.ts";

describe("roofline plot", () => {
  const rows = [
    ...Array.from({ length: 40 }, (_, i) =>
      row(`conv2d ${i} <a & "b">`, { median: 0.02 + 0.001 * i, bytes: 1e6 * (1 + (i % 7)) }),
    ),
    row("softmax 1024x1000", { median: 0.01, flops: 1e7, bytes: 2e7 }),
    row("dispatches 300 tiny", { median: 0.01, flops: 0, bytes: 0 }),
    failing("matmul 256"),
  ];
  const svg = bench.rooflineSvg(report(rows));

  /** The names of open elements; throws for text that is no well-formed XML of elements and text. */
  function parse(text: string): string[] {
    const open: string[] = [];
    const seen: string[] = [];
    const token = /<(\/?)([\w]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)|(<)/g;
    for (const [all, end, name, , empty, words, odd] of text.matchAll(token)) {
      if (odd) throw new Error(`a stray <: ${text.slice(text.indexOf(all), 40)}`);
      if (words !== undefined) {
        if (/&(?!(amp|lt|gt|quot);)/.test(words)) throw new Error(`a bare &: ${words}`);
        continue;
      }
      if (end) {
        if (open.pop() !== name) throw new Error(`</${name}> closes nothing`);
        continue;
      }
      seen.push(name!);
      if (!empty) open.push(name!);
    }
    if (open.length) throw new Error(`not closed: ${open}`);
    return seen;
  }

  test("is well-formed, named and described, with a dot for each row that has work and time", () => {
    const elements = parse(svg);
    expect(elements[0]).toBe("svg");
    expect(elements.slice(1, 3)).toEqual(["title", "desc"]);
    expect(svg.match(/<path class="dot"/g)).toHaveLength(41);
    expect(svg).toMatch(/role="img" aria-labelledby="title desc"/);
    expect(svg).toContain("conv2d 3 &lt;a &amp; &quot;b&quot;&gt;: ");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("numbers lie in the picture", () => {
    const attributes = [...svg.matchAll(/\b([xy])[12]?="([-\d.]+)"/g)].map(
      ([, axis, at]) => [axis!, Number(at)] as const,
    );
    const moved = [...svg.matchAll(/translate\(([-\d.]+) ([-\d.]+)\)/g)].flatMap(([, x, y]) => [
      ["x", Number(x)] as const,
      ["y", Number(y)] as const,
    ]);
    const places = [...attributes, ...moved];
    expect(places.length).toBeGreaterThan(150);
    const size = { x: 1200, y: 760 } as Record<string, number>;
    expect(places.filter(([axis, at]) => !(at >= 0 && at <= size[axis]!))).toEqual([]);
  });

  test("without a row it is still a plot of the roofs", () => {
    const empty = bench.rooflineSvg(report([]));
    parse(empty);
    expect(empty).not.toMatch(/class="dot"|NaN|Infinity/);
    expect(empty).toContain("100 GFLOP/s");
  });
});

test("names lie neither on each other, nor on dots, nor on lines", () => {
  const dots = Array.from({ length: 60 }, (_, i) => ({
    ...{ item: i, x: 20 + ((i * 97) % 460), y: 20 + ((i * 61) % 360), width: 70, height: 14 },
  }));
  const boxes = dots.map(({ x, y }) => ({ x: x - 5, y: y - 5, width: 10, height: 10 }));
  const lines = [{ from: { x: 0, y: 400 }, to: { x: 500, y: 0 } }];
  const inside = { x: 0, y: 0, width: 500, height: 400 };
  const placed = place(dots, { inside, boxes, lines });
  expect(placed.length).toBeGreaterThan(20);
  for (const [i, { box, leader, item }] of placed.entries()) {
    expect(boxes.filter((b) => overlaps(b, box))).toEqual([]);
    expect(crosses(lines[0]!, box)).toBe(false);
    for (const other of placed.slice(i + 1)) expect(overlaps(box, other.box)).toBe(false);
    if (!leader) continue;
    expect(leader.from).toEqual({ x: dots[item]!.x, y: dots[item]!.y });
    expect(placed.filter((p) => p.box !== box && crosses(leader, p.box))).toEqual([]);
  }
});
