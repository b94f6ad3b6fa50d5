// Cases of the harness itself: an op with a fault must fail its case, and the message must say which.
import { defineOp, type Gpu, stopGradient, type Tensor } from "../../src/index.ts";
import { type Case, opCase, rand, throws, uints, values } from "../harness.ts";
import { type F64, f64, map, scalar, sumOf } from "../oracle.ts";
import { own } from "./net.ts";
import { add, elementwise, mul, scale, sum } from "./toy.ts";

/** y = 2 x by `body`, with a gradient by `back`; the honest texts are the defaults. */
function double(name: string, faults: { body?: string; back?: string; extra?: boolean } = {}) {
  const { body = "y[i] = 2.0 * x[i];", back = "y[i] = 2.0 * x[i];", extra = false } = faults;
  const forward = elementwise(name, { read: ["x"], body });
  const backward = elementwise(`${name}Back`, { read: ["x"], body: back });
  return defineOp({
    name,
    inputs: ["x"],
    saves: [],
    shape: ({ x }) => x.shape,
    forward: (run, { x, y }) => {
      if (extra) run(forward, { x, y }, { n: x.size }, [x.size]);
      run(forward, { x, y }, { n: x.size }, [x.size]);
    },
    backward: (run, { dy, dx }) => run(backward, { x: dy, y: dx }, { n: dx.size }, [dx.size]),
  });
}
const judge = (gpu: Gpu, op: (x: Tensor) => Tensor, more: object = {}) =>
  opCase({
    name: "double",
    inputs: { x: rand([7, 3], 5) },
    apply: ({ x }) => op(x),
    oracle: ({ x }): F64 => map(x, (v) => 2 * v),
    grads: ["x"],
    tolerance: 1e-7,
    dispatches: { forward: 1, backward: 1 },
    ...more,
  }).run(gpu);
/** On a gpu of its own: a failed case leaves its tensors. */
const fault = (name: string, op: (x: Tensor) => Tensor, says: RegExp, more: object = {}): Case => ({
  name,
  run: (gpu) =>
    own(gpu, async (g) => {
      await throws(name, () => judge(g, op, more), Error, /^double: /, says);
    }),
});

let calls = 0;
export const cases: readonly Case[] = [
  { name: "an honest op passes", run: (gpu) => judge(gpu, double("honest")) },
  fault(
    "a wrong value",
    double("wrong", { body: "y[i] = 2.001 * x[i];" }),
    /y: expected relative L2/,
  ),
  fault(
    "one wrong value in many",
    double("one", { body: "y[i] = select(2.0, 2.00001, i == 20u) * x[i];" }),
    /greatest error|relative L2/,
    { tolerance: 1e-5, maxError: 1e-7 },
  ),
  fault(
    "an element that is not written",
    double("hole", { body: "if (i != 20u) { y[i] = 2.0 * x[i]; }" }),
    /y: element 20 \(of 1\): expected .*, got NaN/,
  ),
  fault(
    "a write behind the end",
    double("behind", { body: "y[i] = 2.0 * x[i]; if (i == 0u) { y[p.n] = 1.0; }" }),
    /y: word 0 behind its 21 elements: expected untouched poison/,
  ),
  fault(
    "a wrong gradient in the last element",
    double("last", { back: "y[i] = select(2.0, 2.1, i == p.n - 1u) * x[i];" }),
    /gradient of x along /,
  ),
  fault(
    "a gradient that is not written",
    double("gap", { back: "if (i != 3u) { y[i] = 2.0 * x[i]; }" }),
    /dx\[3\]: expected a finite number, got NaN/,
  ),
  fault(
    "a dispatch too many",
    double("two", { extra: true }),
    /dispatches forward: expected 1, got 2/,
  ),
  fault(
    "other bits in the second run",
    (x) => x.gpu.scope(() => scale(x, { by: calls++ === 0 ? 2 : 2.0000002384185791 })),
    /second run: element/,
    { grads: [], tolerance: 1e-5 },
  ),
  fault(
    "another shape",
    (x) => x.gpu.scope(() => sum(x)),
    /shape of y: expected \[7, 3\], got \[\]/,
  ),
  fault("a composition that is not the same", double("honest2"), /reference's y/, {
    reference: ({ x }: { x: Tensor }) => scale(x, { by: 3 }),
  }),
  fault(
    "a gradient that is not the composition's",
    double("honest3"),
    /dx against the reference's/,
    { reference: ({ x }: { x: Tensor }) => add(x, stopGradient(x)) },
  ),
  {
    name: "several outputs, u32 among them, and infinities",
    async run(gpu) {
      const both = defineOp({
        name: "both",
        inputs: ["x"],
        outputs: ["square", "whole"],
        shape: ({ x }) => ({ square: x.shape, whole: { shape: x.shape, dtype: "u32" } }),
        forward: (run, { x, square, whole }) =>
          run(
            elementwise("both", {
              read: ["x"],
              write: ["y", "labels"],
              body: "y[i] = x[i] * x[i]; labels[i] = u32(abs(x[i]));",
            }),
            { x, y: square, labels: whole },
            { n: x.size },
            [x.size],
          ),
        backward: (run, { x, dsquare, dx }) =>
          run(
            elementwise("bothBack", { read: ["x", "w"], body: "y[i] = 2.0 * x[i] * w[i];" }),
            { x, w: dsquare, y: dx },
            { n: x.size },
            [x.size],
          ),
      });
      const make = (g: Gpu, whole: number[]) =>
        opCase({
          name: "both",
          inputs: { x: values([1.5, -2.25, 3, 4, 5]) },
          apply: ({ x }) => both(x),
          oracle: ({ x }) => ({ square: map(x, (v) => v * v), whole: f64([5], whole) }),
          grads: ["x"],
          dispatches: { forward: 1, backward: 1 },
        }).run(g);
      await make(gpu, [1, 2, 3, 4, 5]);
      const wrong = (g: Gpu) =>
        throws("a wrong integer", () => make(g, [1, 2, 3, 4, 6]), Error, /both: whole/);
      await own(gpu, wrong);
      const over = opCase({
        name: "over",
        inputs: { x: values([1e30, -1e30, Number.NaN, 1]), w: values([1e10, 1e10, 1, 2]) },
        apply: ({ x, w }) => mul(x, w),
        oracle: ({ x, w }) => map(x, (v, i) => v * w.data[i]!),
      });
      await over.run(gpu);
      const labels = opCase({
        name: "count",
        inputs: { x: values([1, 2, 3]), n: uints([7]) },
        apply: ({ x }) => sum(x),
        oracle: ({ x }) => scalar(sumOf(x.data)),
        grads: ["x"],
      });
      await labels.run(gpu);
    },
  },
];
