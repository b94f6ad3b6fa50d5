// From NHWC and HWIO, which nfgrad and TensorFlow.js take, to NCHW and OIHW and back.

/** `data` of `shape` with its axes in the order of `axes`. */
export function permute({ data, shape }, axes) {
  const to = axes.map((a) => shape[a]);
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((n, d) => n * d, 1));
  const out = new Float32Array(data.length);
  const [s0, s1, s2, s3] = axes.map((a) => strides[a]);
  let at = 0;
  for (let a = 0; a < to[0]; a++)
    for (let b = 0; b < to[1]; b++)
      for (let c = 0; c < to[2]; c++)
        for (let d = 0; d < to[3]; d++) out[at++] = data[a * s0 + b * s1 + c * s2 + d * s3];
  return { data: out, shape: to };
}

const orders = {
  image: { there: [0, 3, 1, 2], back: [0, 2, 3, 1] },
  weight: { there: [3, 2, 0, 1], back: [2, 3, 1, 0] },
};

/** NHWC -> NCHW (`image`) or HWIO -> OIHW (`weight`); anything else stays. */
export const channelsFirst = (host) =>
  host.kind ? { ...permute(host, orders[host.kind].there), kind: host.kind } : host;
/** The way back, of the result for an input of that kind. */
export const channelsLast = (data, shape, kind) =>
  kind
    ? permute({ data, shape: orders[kind].there.map((a) => shape[a]) }, orders[kind].back).data
    : data;
