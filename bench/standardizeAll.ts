// Weight standardization of all of NFNet-F0's convolutions in one call, as a training step needs it.
import { defineKernel, defineOp, type Gpu, nn, ops, type Tensor, tree, vjp } from "../src/index.ts";
import { type Case, sample, sizeOf, worstSum } from "./case.ts";
import { fill } from "./nfnet.ts";
import { backward, EPS, f0Weights, forward, work } from "./standardize.ts";

interface Layer {
  readonly w: Tensor;
  readonly gain: Tensor;
}

/** `dx = c`, whole arenas. Eight threads walk a block that is theirs. */
const copy = /* @__PURE__ */ defineKernel(
  `// bench/standardizeAll: the end of a graph with many results
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> c: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(8) fn copy(
  @builtin(workgroup_id) g: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) l: u32) {
  let each = (p.n + groups.x - 1u) / groups.x;
  let end = min(p.n, (g.x + 1u) * each);
  for (var i = g.x * each + l; i < end; i += 8u) { dx[i] = c[i]; }
}`,
  { entry: "copy" },
);

/** A scalar whose pullback gives each y the gradient that stands in `dys`, as the convolutions behind it would. */
const handOut = (gpu: Gpu, dys: readonly Layer[]) =>
  defineOp({
    name: "handOut",
    inputs: ["...ys"],
    saves: [],
    shape: () => [],
    forward: (run, { y }) => run(copy, { c: dys[0]!.gain, dx: y }, { n: 1 }, [8]),
    backward: (run, { dys: to }) => {
      const from = tree.arenas(dys);
      tree.arenas(to).forEach((dx, i) => {
        if (dx.size !== from[i]!.size) throw new RangeError("gradients do not lie as weights do");
        const groups = gpu.info.kind === "software" ? 64 : 8192;
        run(copy, { c: from[i]!, dx }, { n: dx.size / 4 }, [8 * groups]);
      });
    },
  });

export function cases(): Case[] {
  const shapes = f0Weights();
  const total = shapes.reduce((n, shape) => n + sizeOf(shape), 0);
  const spec = shapes.map((shape) => ({
    w: { shape, init: nn.init.zeros },
    gain: { shape: [shape.at(-1)!], init: nn.init.zeros },
  }));
  const f = (layers: readonly Layer[]) =>
    ops.standardizeAll(
      layers.map(({ w }) => w),
      layers.map(({ gain }) => gain),
      { eps: EPS },
    );
  const { forward: there, both } = work(total);
  // Between the two passes the gradients are handed out: 8 bytes more.
  const passes = {
    forward: there,
    "forward + backward": { ...both, bytes: both.bytes + 8 * total },
  };
  const one = (pass: keyof typeof passes): Case => ({
    name: `standardize F0 ${pass}`,
    ...passes[pass],
    quick: false,
    prepare(gpu) {
      const params: readonly Layer[] = gpu.init(spec, { zeros: true });
      const dys: readonly Layer[] = gpu.zerosLike(params);
      fill(gpu, "standardize F0", params);
      fill(gpu, "standardize F0 dy", dys);
      const end = handOut(gpu, dys);
      const pull = vjp((layers: readonly Layer[]) => end(f(layers)));
      const seed = gpu.tensor([1], []);
      const calls = {
        forward: (): readonly Partial<Layer>[] => f(params).map((w) => ({ w })),
        "forward + backward": (): readonly Partial<Layer>[] => pull(params, seed).grads,
      };
      const run = gpu.record(calls[pass], { name: `standardize F0 ${pass}` });
      return {
        run,
        async verify() {
          const results = run();
          const parts: number[] = [];
          for (const [layer, shape] of shapes.entries()) {
            const host = await gpu.read({ p: params[layer]!, dy: dys[layer]!.w });
            const { w, gain } = host.p;
            const oracle = (i: number) =>
              pass === "forward"
                ? forward(w.data, gain.data, shape, i)
                : backward(w.data, gain.data, host.dy.data, shape, i);
            const actual = await gpu.read(results[layer]! as Record<string, Tensor>);
            const places = sample(`layer ${layer}`, sizeOf(shape), 16);
            parts.push(worstSum(actual.w!.data, places, oracle));
            if (actual.gain) parts.push(worstSum(actual.gain.data, [0], () => oracle(-1)));
          }
          return Math.max(...parts);
        },
        dispose() {
          run.dispose();
          tree.dispose([params, dys, seed]);
        },
      };
    },
  });
  return [one("forward"), one("forward + backward")];
}
