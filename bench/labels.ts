// Finds places for the names of dots, so that no name lies on another, on a dot or on a line. Geometry alone.

export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Box extends Point {
  readonly width: number;
  readonly height: number;
}
export interface Segment {
  readonly from: Point;
  readonly to: Point;
}

export interface Wanted<T> extends Point {
  readonly item: T;
  readonly width: number;
  readonly height: number;
}
export type Anchor = "start" | "middle" | "end";
export interface Placed<T> {
  readonly item: T;
  readonly box: Box;
  /** Which end of the name is towards the dot. */
  readonly anchor: Anchor;
  /** From the dot to a name that does not lie beside it. */
  readonly leader: Segment | null;
}

export const overlaps = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** Whether a line passes through a box (Liang and Barsky's clipping). */
export function crosses({ from, to }: Segment, box: Box): boolean {
  let [begin, end] = [0, 1];
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const sides = [
    [-dx, from.x - box.x],
    [dx, box.x + box.width - from.x],
    [-dy, from.y - box.y],
    [dy, box.y + box.height - from.y],
  ] as const;
  for (const [p, q] of sides) {
    if (p === 0) {
      if (q < 0) return false;
      continue;
    }
    const at = q / p;
    if (p < 0) begin = Math.max(begin, at);
    else end = Math.min(end, at);
    if (begin > end) return false;
  }
  return true;
}

/** Whether two lines cross. */
function cross(a: Segment, b: Segment): boolean {
  const side = ({ from, to }: Segment, p: Point) =>
    Math.sign((to.x - from.x) * (p.y - from.y) - (to.y - from.y) * (p.x - from.x));
  return side(a, b.from) !== side(a, b.to) && side(b, a.from) !== side(b, a.to);
}

const BESIDE = 9; // from a dot's middle to its name
const FARTHER = [24, 40, 60, 84, 120, 170];
const DIRECTIONS = 16;

/** Places around a dot, the best first: to its right, to its left, above, below, then farther out with a line. */
function* places({
  x,
  y,
  width,
  height,
}: Wanted<unknown>): Generator<Omit<Placed<unknown>, "item">> {
  const box = (left: number, top: number): Box => ({ x: left, y: top, width, height });
  yield { box: box(x + BESIDE, y - height / 2), anchor: "start", leader: null };
  yield { box: box(x - BESIDE - width, y - height / 2), anchor: "end", leader: null };
  yield { box: box(x - width / 2, y - BESIDE - height + 2), anchor: "middle", leader: null };
  yield { box: box(x - width / 2, y + BESIDE - 2), anchor: "middle", leader: null };
  for (const distance of FARTHER) {
    for (let i = 0; i < DIRECTIONS; i++) {
      const angle = (2 * Math.PI * i) / DIRECTIONS;
      const tip = { x: x + distance * Math.cos(angle), y: y + distance * Math.sin(angle) };
      const right = Math.cos(angle) >= 0;
      yield {
        box: box(right ? tip.x + 3 : tip.x - width - 3, tip.y - height / 2),
        anchor: right ? "start" : "end",
        leader: { from: { x, y }, to: tip },
      };
    }
  }
}

export interface Room {
  /** Where names may lie. */
  readonly inside: Box;
  /** What they must not lie on: dots, other texts. */
  readonly boxes: readonly Box[];
  readonly lines: readonly Segment[];
}

/** Places as many names as find room, in the order given. A dot's own box does not stand in its way. */
export function place<T>(
  wanted: readonly Wanted<T>[],
  { inside, boxes, lines }: Room,
): Placed<T>[] {
  const placed: Placed<T>[] = [];
  const within = (b: Box) =>
    b.x >= inside.x &&
    b.y >= inside.y &&
    b.x + b.width <= inside.x + inside.width &&
    b.y + b.height <= inside.y + inside.height;
  const fits = (box: Box, leader: Segment | null, at: Point) =>
    within(box) &&
    !boxes.some((b) => overlaps(b, box)) &&
    !lines.some((line) => crosses(line, box)) &&
    placed.every(
      (p) =>
        !overlaps(p.box, box) &&
        !(p.leader && crosses(p.leader, box)) &&
        !(leader && (crosses(leader, p.box) || (p.leader && cross(leader, p.leader)))),
    ) &&
    !(leader && lines.some((line) => cross(leader, line))) &&
    !(leader && boxes.some((b) => !holds(b, at) && crosses(leader, b)));
  for (const w of wanted) {
    for (const found of places(w)) {
      if (!fits(found.box, found.leader, w)) continue;
      placed.push({ item: w.item, ...found });
      break;
    }
  }
  return placed;
}

const holds = (b: Box, p: Point): boolean =>
  p.x >= b.x && p.x <= b.x + b.width && p.y >= b.y && p.y <= b.y + b.height;
