// Colours and shapes by which the families of cases are told apart in a plot.

/** After Okabe and Ito, to be told apart without red and green, and dark enough for text. Then again in another shape. */
const COLOURS = [
  ...["#0072b2", "#c24e00", "#007f5f", "#a8417e"],
  ...["#8a6100", "#5b4ea1", "#4d4d4d", "#9c1c3a"],
];
/** Around the middle: a dot, a square, a triangle. */
const SHAPES = [
  (r: number) => `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`,
  (r: number) => `M${-0.88 * r} ${-0.88 * r}H${0.88 * r}V${0.88 * r}H${-0.88 * r}Z`,
  (r: number) => `M0 ${-1.15 * r}L${1.1 * r} ${0.85 * r}H${-1.1 * r}Z`,
];

/** How a family is drawn, and whether it has so many members that their names go without its own. */
export interface Style {
  readonly colour: string;
  readonly shape: (radius: number) => string;
  readonly many: boolean;
}
export const styleOf = (i: number, members: number): Style => ({
  colour: COLOURS[i % COLOURS.length]!,
  shape: SHAPES[Math.floor(i / COLOURS.length) % SHAPES.length]!,
  many: members > 12,
});
