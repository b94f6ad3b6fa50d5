// One training run taken up by two engines: nfgrad writes it, JAX takes the next step (resume.py) and writes it, nfgrad
// takes that up; and each time both take the step that follows. A program, for a machine that has JAX:
//
//   node tools/run.mjs parity/resume.ts .venv/bin/python [seed]
//
// It prints the largest relative differences and fails above TOLERANCE.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Gpu,
  io,
  nn,
  openGpu,
  ops,
  optim,
  random,
  type Tensor,
  tree,
  valueAndGrad,
} from "../src/index.ts";
import { fill, fillInt, fillParameter } from "./fill.ts";

/**
 * Relative L2 difference of the parameters, momentum or average of the whole model after the step, and of the loss.
 * Measured for seeds 0 to 3 on Mesa's lavapipe: momentum 6.3e-7, loss 1.1e-7, the others 7e-9.
 */
const TOLERANCE = 2e-6;

const [python = "python3", seedText = "0"] = process.argv.slice(2);
const seed = Number(seedText);
/** Written into the file, so that the other side needs nothing else. */
const run = {
  data: `resume-${seed}`,
  numClasses: 10,
  variant: {
    width: [16, 32, 64, 64],
    depth: [1, 2, 1, 1],
    group_width: [8, 8, 8, 8],
    train_imsize: 32,
    test_imsize: 32,
    drop_rate: 0.2,
  },
  batch: 8,
  imsize: 32,
  lr: 0.05,
  momentum: 0.9,
  weightDecay: 2e-5,
  clipping: 0.01,
  smoothing: 0.1,
  emaDecay: 0.99,
};
const { group_width: groupWidth, train_imsize, test_imsize, drop_rate, ...sizes } = run.variant;
const variant = {
  ...sizes,
  groupWidth,
  trainImsize: train_imsize,
  testImsize: test_imsize,
  dropRate: drop_rate,
};
const model = nn.nfnet({ variant, numClasses: run.numClasses });
const folder = mkdtempSync(join(tmpdir(), "nfgrad-resume-"));

type Run = ReturnType<typeof training>;

/** A run at its start: the parameters of the fill rule. */
function training(gpu: Gpu) {
  const params = gpu.init(model.spec, { zeros: true });
  for (const { path, tensor } of tree.leaves(params)) {
    const data = fillParameter(run.data, model.names[path]!, tensor.shape);
    gpu.assign(tensor, { data, shape: tensor.shape });
  }
  const { momentum, weightDecay, clipping, smoothing } = run;
  const opt = optim.sgdAgc(params, {
    ...{ momentum, nesterov: true, weightDecay, clipping },
    groups: optim.nfnetGroups(model),
    ema: { decay: run.emaDecay },
  });
  const lossAndGrad = valueAndGrad((p: typeof params, x: Tensor, y: Tensor, keys: Tensor) =>
    ops.softmaxCrossEntropy(model(p, x, { train: true, keys }), y, { smoothing }),
  );
  /** Takes step `t` and gives its loss. */
  const step = (t: number): Promise<number> => {
    const size = [run.batch, run.imsize, run.imsize, 3];
    const images = {
      data: fill(
        `${run.data}/img/${t}`,
        size.reduce((a, b) => a * b),
      ),
      shape: size,
    };
    const labels = fillInt(`${run.data}/labels/${t}`, run.batch, run.numClasses);
    const keys = random.keys([seed, t], model.draws);
    const { value, grads } = lossAndGrad(params, images, labels, keys);
    opt.update(grads, { lr: run.lr, step: t });
    return value.item();
  };
  return { params, beside: { opt: opt.state, ema: opt.ema! }, step };
}

const file = (name: string) => join(folder, name);

async function save({ params, beside }: Run, name: string, step: number): Promise<void> {
  await io.writeHaiku(file(name), params, model, { beside, meta: { run, step, seed } });
}

async function load(gpu: Gpu, into: Run, name: string) {
  const { params, beside, meta } = await io.openHaiku(await io.openFile(file(name)), model);
  await gpu.assign(into.params as object, params);
  await gpu.assign(into.beside as object, beside);
  return meta as { step: number; loss: number };
}

/** JAX's next step: from one file to another. */
function inJax(from: string, to: string): void {
  const { status } = spawnSync(python, ["parity/resume.py", file(from), file(to)], {
    stdio: "inherit",
  });
  if (status !== 0) throw new Error(`${python} parity/resume.py failed`);
}

/** Prints and checks the difference of each part of two runs, and of their losses. */
async function compare(gpu: Gpu, what: string, a: Run, b: Run, losses: [number, number]) {
  const parts = { ...a.beside, params: a.params } as Record<string, object>;
  const others = { ...b.beside, params: b.params } as Record<string, object>;
  const worst: Record<string, number> = { loss: Math.abs(losses[0] / losses[1] - 1) };
  for (const [name, part] of Object.entries(parts)) {
    const [ours, theirs] = [await gpu.read(part as never), await gpu.read(others[name] as never)];
    worst[name] = relative(flat(ours), flat(theirs));
  }
  const text = Object.entries(worst).map(([name, e]) => `${name} ${e.toExponential(1)}`);
  const pass = Object.values(worst).every((e) => e <= TOLERANCE);
  console.log(`${what}: relative differences ${text.join(", ")}: ${pass ? "pass" : "FAIL"}`);
  if (!pass) process.exitCode = 1;
}

const flat = (host: unknown): number[][] =>
  typeof host === "object" && host !== null && "data" in host
    ? [[...(host.data as Float32Array)]]
    : Object.values(host as object).flatMap(flat);

function relative(a: number[][], b: number[][]): number {
  let difference = 0;
  let norm = 0;
  for (const [i, values] of b.entries())
    for (const [j, value] of values.entries()) {
      difference += (a[i]![j]! - value) ** 2;
      norm += value ** 2;
    }
  return Math.sqrt(difference / norm);
}

const STEPS = 3;
const gpu = await openGpu();
try {
  const ours = training(gpu);
  for (let t = 0; t < STEPS; t++) await ours.step(t);
  await save(ours, "ours.npz", STEPS);
  const loss = await ours.step(STEPS);
  inJax("ours.npz", "jax.npz");
  const theirs = training(gpu);
  const { step, loss: lossInJax } = await load(gpu, theirs, "jax.npz");
  await compare(gpu, "nfgrad -> JAX", ours, theirs, [loss, lossInJax]);

  const next = await theirs.step(step); // from what JAX wrote
  inJax("jax.npz", "jax2.npz");
  const again = training(gpu);
  const { loss: nextInJax } = await load(gpu, again, "jax2.npz");
  await compare(gpu, "JAX -> nfgrad", theirs, again, [next, nextInJax]);
} finally {
  await gpu.close();
  rmSync(folder, { recursive: true });
}
