// What a tuner tries for a product of matrices: those of an adapter's variants that may suit its sizes. Times nothing.
import {
  type Adapter,
  canDraw,
  type Geometry,
  lanesOf,
  MOST_SPLITS,
  nameOf,
  type Pass,
  sizesOf,
  split,
  tileOf,
  usual,
  type Variant,
  variantsOf,
} from "./variants.ts";

/** Not far too large for the product, nor so small that its loads cost too much. */
function suits(adapter: Adapter, variant: Variant, g: Geometry, pass: Pass): boolean {
  const { m, n } = sizesOf(g, pass);
  const { m: rows, n: columns } = tileOf(variant);
  const { core, lanes } = variant;
  if (core === "registers") return lanesOf(adapter) === 0 || n <= 4 * lanesOf(adapter);
  if (rows >= 2 * m || columns >= 2 * n) return false;
  return core === "tile" || variant.rows >= 4 || m < 4 * lanes * variant.rows;
}

const LEAST = 32; // pixels of a split

/** The default first. */
export function candidatesOf(adapter: Adapter, g: Geometry, pass: Pass): readonly Variant[] {
  const found = new Map<string, Variant>();
  const add = (v: Variant) => found.set(`${nameOf(v)} ${v.splits}`, v);
  add(usual(adapter, g, pass));
  const whole = [g.ci, g.co, g.xPixel, g.yPixel, g.wRow].every((n) => n % 4 === 0);
  const images = whole && canDraw(g, pass); // else they would be read from buffers all the same
  for (const v of variantsOf(adapter)) {
    if (!suits(adapter, v, g, pass)) continue;
    if (v.images && !images) continue;
    const own = split(adapter, v, g, pass);
    const { splits } = own;
    const more = adapter.kind === "software" ? [1] : [1, splits / 2, splits * 2];
    for (const s of pass === "weight" ? [splits, ...more] : [1]) {
      const some = s === 1 || (s <= MOST_SPLITS && LEAST * s <= sizesOf(g, pass).k);
      if (Number.isInteger(s) && some) add({ ...own, splits: s });
    }
  }
  return [...found.values()];
}
