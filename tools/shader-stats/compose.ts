// Which kernels are compiled. They come from the engine, never from copies: it runs here on the chip that is not there,
// where nothing is computed, and each kernel that it composes on the way is kept.
import { readdirSync } from "node:fs";
import type { OpCase, OpCaseSpec } from "../../kernels-test/harness.ts";
import { type Kernel, observeKernels } from "../../src/gpu/kernel.ts";
import { chipAdapter, mark } from "./child.ts";
import type { Job } from "./compile.ts";

type Engine = typeof import("../../src/index.ts");

/** Writes the jobs to stderr as one mark: the tiles of the convolution family first, then every other kernel. */
export async function compose(): Promise<void> {
  const seen: Kernel[] = [];
  observeKernels((k) => seen.push(k)); // before the ops are loaded: most declare their kernels then
  const engine = await import("../../src/index.ts");
  const { tileJobs, otherJobs } = await import("./tiles.ts");
  const gpu = await engine.openGpu({ device: pretended(await chipAdapter()) });
  for (const spec of await opCases()) forwardAndBackward(engine, gpu, spec);
  await optimizerSteps(engine, gpu);
  await gpu.sync();
  observeKernels(null);
  const others = [...otherJobs(gpu.info), ...seen.filter(isOurs).map(jobOf)];
  const each = new Map(others.map((job) => [keyOf(job), job]));
  for (const file of readdirSync("shaders").filter((f) => f.endsWith(".wgsl")))
    if (!others.some(({ label }) => label.startsWith(`shaders/${file}:`)))
      throw new Error(`no kernel of shaders/${file} was composed: nothing that runs here needs it`);
  mark(`composed ${JSON.stringify([...tileJobs(), ...each.values()])}`);
}

/** Cases bring toys of their own. */
const isOurs = ({ label }: Kernel) => label.startsWith("shaders/");
const keyOf = ({ code, entry, constants }: Job) => `${entry} ${JSON.stringify(constants)} ${code}`;
const jobOf = ({ label, code, entry, constants }: Kernel): Job => ({
  label,
  code,
  entry,
  constants,
});

/** The op cases of the kernel tests: each op has some (kernels-test/structure.test.ts). */
async function opCases(): Promise<OpCaseSpec[]> {
  const names = readdirSync("kernels-test/cases").map((f) => f.replace(/\.ts$/, ""));
  const specs: OpCaseSpec[] = [];
  for (const name of names) {
    const { cases } = (await import(`../../kernels-test/cases/${name}.ts`)) as { cases: OpCase[] };
    for (const { spec } of cases) if (spec) specs.push(spec);
  }
  return specs;
}

type OpenGpu = Awaited<ReturnType<Engine["openGpu"]>>;
function forwardAndBackward({ ops, vjp, Tensor }: Engine, gpu: OpenGpu, spec: OpCaseSpec): void {
  const inputs = Object.fromEntries(
    Object.entries(spec.inputs).map(([name, host]) => [name, gpu.tensor(host)]),
  );
  const wanted = Object.fromEntries((spec.grads ?? []).map((name) => [name, inputs[name]!]));
  gpu.scope(() => {
    spec.apply(inputs);
    if (!spec.grads?.length) return [];
    const total = (given: typeof wanted) => {
      const out = spec.apply({ ...inputs, ...given });
      const floats = (out instanceof Tensor ? [out] : Object.values(out)).filter(
        (t) => t.dtype === "f32",
      );
      return floats.map((t) => ops.sum(t)).reduce((a, b) => ops.add(a, b));
    };
    vjp(total)(wanted, gpu.zeros([]));
    return [];
  });
  for (const t of Object.values(inputs)) t.dispose();
}

/** A step of each optimizer with each set of buffers, and what stands around them. */
async function optimizerSteps({ optim, tree }: Engine, gpu: OpenGpu): Promise<void> {
  const { gradient, inArenas, long, mixed, weights } = await import("../../kernels-test/sgd.ts");
  const shapes = { ...mixed, ...long }; // units of one block, and of several
  const params = inArenas(gpu, weights(shapes));
  const grads = inArenas(gpu, gradient(shapes, 0));
  const step = { lr: 0.1, step: 1 };
  const betas = [null, 0.9];
  for (const ema of [{}, { ema: { decay: 0.9 } }]) {
    const all = [
      ...betas.flatMap((momentum) => [
        optim.sgdAgc(params, { momentum, ...ema }),
        optim.rmsprop(params, { momentum, ...ema }),
      ]),
      ...betas.flatMap((beta1) =>
        betas.flatMap((beta2) => [
          optim.adam(params, { beta1, beta2, ...ema }),
          optim.adamw(params, { beta1, beta2, ...ema }),
        ]),
      ),
      optim.fromage(params, ema),
    ];
    for (const optimizer of all) {
      optimizer.update(grads, step);
      optimizer.dispose();
    }
  }
  const average = optim.ema(params, { decay: 0.9 });
  average.update(step);
  for (const rule of ["optim", "optax"] as const) {
    const clip = optim.adaptiveGradClip(params, { rule });
    clip(grads);
    clip.dispose();
  }
  const sam = optim.sam(optim.sgd(params));
  sam.update(() => ({ value: gpu.zeros([]), grads }), step);
  tree.dispose([params, grads]);
}

/** A device as the engine sees it, with an adapter's limits and features: nothing is behind it. */
function pretended({ limits, features, info }: GPUAdapter): GPUDevice {
  const nothing = (): unknown =>
    new Proxy(() => {}, {
      get: (_, key) => (key === "then" ? undefined : nothing()), // no promise: it can be awaited
      apply: nothing,
    });
  const real: Record<PropertyKey, unknown> = {
    ...{ limits, features, adapterInfo: info, lost: new Promise(() => {}) },
    createShaderModule: () => ({ getCompilationInfo: async () => ({ messages: [] }) }),
    popErrorScope: async () => null,
  };
  const get = (_: object, key: PropertyKey) => (key in real ? real[key] : nothing());
  return new Proxy({}, { get }) as GPUDevice;
}
