// The fill rule of the goldens: tensors made from their name, bit for bit (parity/golden/README.md). Reads no files.

/** FNV-1a of the name's UTF-8 bytes, 32 bits. */
export function nameHash(name: string): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/** The 32 random bits of element `i` of the tensor whose name hashes to `h0`. */
export function fillBits(h0: number, i: number): number {
  let x = (h0 + Math.imul(i, 0x9e3779b9)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** `n` f32 values, uniform with this mean and standard deviation. */
export function fill(name: string, n: number, mean = 0, std = 1): Float32Array<ArrayBuffer> {
  const h0 = nameHash(name);
  const values = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const u = (fillBits(h0, i) + 0.5) / 2 ** 32;
    values[i] = (2 * u - 1) * Math.sqrt(3) * std + mean;
  }
  return values;
}

/** `n` whole numbers in [0, k). */
export function fillInt(name: string, n: number, k: number): Uint32Array<ArrayBuffer> {
  const h0 = nameHash(name);
  return Uint32Array.from({ length: n }, (_, i) =>
    Math.floor(((fillBits(h0, i) + 0.5) / 2 ** 32) * k),
  );
}

/** A parameter of a case whose parameters are filled "by kind": what its Haiku name ends in sets mean and deviation. */
export function fillParameter(
  seed: string,
  haikuName: string,
  shape: readonly number[],
): Float32Array<ArrayBuffer> {
  const n = shape.reduce((a, b) => a * b, 1);
  const { mean, std } = parameterRule(haikuName, shape);
  return fill(`${seed}/${haikuName}`, n, mean, std);
}

/** Mean and standard deviation of a parameter by its kind. */
export function parameterRule(haikuName: string, shape: readonly number[]) {
  const kind = haikuName.slice(haikuName.lastIndexOf("/") + 1);
  if (kind === "w") {
    return { mean: 0, std: 1 / Math.sqrt(shape.slice(0, -1).reduce((a, b) => a * b, 1)) };
  }
  if (kind === "gain" || kind === "scale") return { mean: 1, std: 0.1 };
  return { mean: kind === "skip_gain" ? 0.5 : 0, std: 0.1 };
}
