// Convolutions: all shapes of NFNet-F0, three passes each, and their f64 values by definition.
import { type Gpu, nn, ops, type Tensor, vjp } from "../src/index.ts";
import {
  type Case,
  type Prepared,
  randomInput,
  type Sum,
  sample,
  sizeOf,
  worstSum,
} from "./case.ts";

export type Pass = "forward" | "input" | "weight";

/** A convolution with SAME padding, NHWC and HWIO. */
export interface Conv {
  readonly batch: number;
  readonly size: number;
  readonly inCh: number;
  readonly outCh: number;
  readonly kernel: number;
  readonly stride: number;
  readonly groups: number;
}

export function convName({ batch, size, inCh, outCh, kernel, stride, groups }: Conv): string {
  const extra = [
    ...(stride > 1 ? [`s${stride}`] : []),
    ...(groups > 1 ? [`g${groups}`] : []),
    ...(batch > 1 ? [`n${batch}`] : []),
  ];
  return ["conv2d", `${kernel}x${kernel}`, `${size}x${size}`, `${inCh}>${outCh}`, ...extra].join(
    " ",
  );
}

/** All convolutions of a model's blocks and stem for images of `size`, each once. */
export function nfnetConvs(size: number, variant = "F0"): Conv[] {
  const { spec, blocks } = nn.nfnet({ variant, numClasses: 1000 });
  const found: Conv[] = [];
  let at = size;
  const add = (shape: readonly number[], stride = 1, groups = 1, from = at) => {
    const [kernel, , perGroup, outCh] = shape as [number, number, number, number];
    found.push({ batch: 1, size: from, inCh: perGroup * groups, outCh, kernel, stride, groups });
    return Math.ceil(from / stride);
  };
  const { conv0, conv1, conv2, conv3 } = spec.stem;
  for (const [conv, stride] of [
    [conv0, 2],
    [conv1, 1],
    [conv2, 1],
    [conv3, 2],
  ] as const)
    at = add(conv.w.shape, stride); // nfnet.py's stem strides in its first and last convolution
  blocks.forEach(({ stride, groups }, i) => {
    const block = spec.blocks[i]!;
    const out = Math.ceil(at / stride);
    if (block.convShortcut) add(block.convShortcut.w.shape, 1, 1, out); // pooled before
    add(block.conv0.w.shape);
    at = add(block.conv1.w.shape, stride, groups);
    if (block.conv1b) add(block.conv1b.w.shape, 1, groups);
    add(block.conv2.w.shape);
  });
  add(spec.finalConv.w.shape);
  return [...new Map(found.map((conv) => [convName(conv), conv])).values()];
}

/** Sizes, padding and strides in elements. */
function geometry({ batch, size, inCh, outCh, kernel, stride, groups }: Conv) {
  const out = Math.ceil(size / stride);
  const pad = Math.max((out - 1) * stride + kernel - size, 0) >> 1;
  return {
    out,
    pad,
    ci: inCh / groups,
    co: outCh / groups,
    x: [batch, size, size, inCh],
    w: [kernel, kernel, inCh / groups, outCh],
    y: [batch, out, out, outCh],
  };
}

export interface Operands {
  readonly x: ArrayLike<number>;
  readonly w: ArrayLike<number>;
  readonly dy: ArrayLike<number>;
}

/** One element of a pass's result in f64: y[i], dx[i] or dw[i]. */
export function element(conv: Conv, pass: Pass, { x, w, dy }: Operands, i: number): Sum {
  const { batch, size, inCh, outCh, kernel, stride } = conv;
  const { out, pad, ci, co } = geometry(conv);
  let value = 0;
  let magnitude = 0;
  const add = (a: number, b: number) => {
    value += a * b;
    magnitude += Math.abs(a * b);
  };
  const xAt = (n: number, h: number, v: number, c: number) =>
    ((n * size + h) * size + v) * inCh + c;
  const yAt = (n: number, h: number, v: number, c: number) => ((n * out + h) * out + v) * outCh + c;
  const wAt = (r: number, s: number, c: number, o: number) =>
    ((r * kernel + s) * ci + c) * outCh + o;
  const inside = (h: number) => h >= 0 && h < size;
  const channels = pass === "input" ? inCh : outCh;
  const c = i % channels;
  const rest = Math.floor(i / channels);
  if (pass === "weight") {
    const k = rest % ci;
    const s = Math.floor(rest / ci) % kernel;
    const r = Math.floor(rest / ci / kernel);
    const from = Math.floor(c / co) * ci + k;
    for (let n = 0; n < batch; n++)
      for (let oh = 0; oh < out; oh++)
        for (let ow = 0; ow < out; ow++) {
          const [h, v] = [oh * stride + r - pad, ow * stride + s - pad];
          if (inside(h) && inside(v)) add(x[xAt(n, h, v, from)]!, dy[yAt(n, oh, ow, c)]!);
        }
    return { value, magnitude };
  }
  const side = pass === "input" ? size : out;
  const [n, a, b] = [Math.floor(rest / side / side), Math.floor(rest / side) % side, rest % side];
  for (let r = 0; r < kernel; r++)
    for (let s = 0; s < kernel; s++) {
      if (pass === "forward") {
        const [h, v] = [a * stride + r - pad, b * stride + s - pad];
        if (!inside(h) || !inside(v)) continue;
        const from = Math.floor(c / co) * ci;
        for (let k = 0; k < ci; k++) add(x[xAt(n, h, v, from + k)]!, w[wAt(r, s, k, c)]!);
        continue;
      }
      const [oh, ow] = [(a + pad - r) / stride, (b + pad - s) / stride];
      if (![oh, ow].every((o) => Number.isInteger(o) && o >= 0 && o < out)) continue;
      const from = Math.floor(c / ci) * co;
      for (let k = 0; k < co; k++)
        add(dy[yAt(n, oh, ow, from + k)]!, w[wAt(r, s, c % ci, from + k)]!);
    }
  return { value, magnitude };
}

function prepare(gpu: Gpu, name: string, conv: Conv, pass: Pass): Prepared {
  const shapes = geometry(conv);
  const { stride, groups } = conv;
  const x = randomInput(gpu, `${name} x`, shapes.x);
  const w = randomInput(gpu, `${name} w`, shapes.w);
  const dy = randomInput(gpu, `${name} dy`, shapes.y);
  const forward = (a: Tensor, b: Tensor) => ops.conv2d(a, b, { stride, groups });
  const gradients = {
    forward: () => forward(x.tensor, w.tensor),
    input: () => vjp((a: Tensor) => forward(a, w.tensor))(x.tensor, dy.tensor).grads,
    weight: () => vjp((b: Tensor) => forward(x.tensor, b))(w.tensor, dy.tensor).grads,
  };
  const run = gpu.record(gradients[pass], { name });
  const data = { x: x.data, w: w.data, dy: dy.data };
  return {
    run,
    async verify() {
      const actual = await run().data();
      return worstSum(actual, sample(name, actual.length, 64), (i) => element(conv, pass, data, i));
    },
    dispose() {
      run.dispose();
      for (const { tensor } of [x, w, dy]) tensor.dispose();
    },
  };
}

/** A convolution in the given passes. */
export function convCases(conv: Conv, passes: readonly Pass[], quick = false): Case[] {
  const { out, ci, x, w, y } = geometry(conv);
  const flops = 2 * conv.batch * out * out * conv.outCh * ci * conv.kernel ** 2;
  const bytes = 4 * (sizeOf(x) + sizeOf(w) + sizeOf(y));
  return passes.map((pass) => {
    const name = `${convName(conv)} ${pass}`;
    return { name, flops, bytes, quick, prepare: (gpu) => prepare(gpu, name, conv, pass) };
  });
}

const all = ["forward", "input", "weight"] as const;

/** F0's at 192 and 64, and those that are compared with other libraries. Nobody needs an image's gradient. */
export function cases(): Case[] {
  const one = (size: number, inCh: number, outCh: number, kernel: number, groups = 1): Conv => ({
    batch: 1,
    size,
    inCh,
    outCh,
    kernel,
    stride: 1,
    groups,
  });
  const compared = [one(28, 256, 512, 1), one(56, 64, 64, 3), one(24, 256, 256, 3, 2)];
  // Nobody's: channels that 4 does not divide, odd sizes, batches. None may fall off a cliff.
  const odd = [
    { ...one(27, 33, 65, 3), batch: 3 },
    { ...one(28, 48, 96, 5), batch: 3, stride: 2 },
    { ...one(25, 30, 42, 3, 3), batch: 3 },
    { ...one(31, 129, 63, 1), batch: 3 },
  ];
  const known = new Set(compared.map(convName));
  const f0 = [192, 64].flatMap((size) => nfnetConvs(size));
  const rest = [...new Map(f0.map((conv) => [convName(conv), conv])).values()].filter(
    (conv) => !known.has(convName(conv)),
  );
  return [
    ...compared.flatMap((conv) => convCases(conv, all, true)),
    ...odd.flatMap((conv) => convCases(conv, all)),
    ...rest.flatMap((conv) =>
      convCases(
        conv,
        conv.inCh === 3 ? ["forward", "weight"] : all,
        conv.size === 32 && conv.kernel === 3,
      ),
    ),
  ];
}
