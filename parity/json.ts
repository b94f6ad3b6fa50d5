// Compares JSON values exactly, but for real numbers, which may differ by 1e-12. For the goldens' side files.

const REAL = 1e-12;

/** The first difference between two JSON values as `path: ours, expected theirs`; null if there is none. */
export function difference(ours: unknown, theirs: unknown, path = ""): string | null {
  const differ = () => `${path || "value"}: ${text(ours)}, expected ${text(theirs)}`;
  if (typeof ours === "number" && typeof theirs === "number") {
    if (Number.isInteger(ours) && Number.isInteger(theirs))
      return ours === theirs ? null : differ();
    const scale = Math.max(Math.abs(ours), Math.abs(theirs));
    return Math.abs(ours - theirs) <= REAL * scale ? null : differ();
  }
  if (!isObject(ours) || !isObject(theirs)) return ours === theirs ? null : differ();
  if (Array.isArray(ours) !== Array.isArray(theirs)) return differ();
  const keys = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
  for (const key of keys) {
    const at = path ? `${path}.${key}` : key;
    if (!Object.hasOwn(ours, key)) return `${at}: missing, expected ${text(theirs[key])}`;
    if (!Object.hasOwn(theirs, key)) return `${at}: ${text(ours[key])}, expected nothing`;
    const found = difference(ours[key], theirs[key], at);
    if (found) return found;
  }
  return null;
}

/** How many values an object holds that are not objects themselves. */
export function leafCount(value: unknown): number {
  if (!isObject(value)) return 1;
  return Object.values(value).reduce((sum: number, part) => sum + leafCount(part), 0);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

function text(value: unknown): string {
  const whole = JSON.stringify(value) ?? String(value);
  return whole.length > 60 ? `${whole.slice(0, 57)}...` : whole;
}
