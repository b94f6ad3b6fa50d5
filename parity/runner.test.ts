// The runner passes nothing over: goldens that are changed in any way give a failing row.
import { afterAll, expect, test } from "vitest";
import { type Changeable, changed, removeChanged } from "./changed.ts";
import { type Report, run, table, toJson } from "./index.ts";
import { KINK } from "./report.ts";
import { closeGpu, failures, GOLDEN, sharedGpu } from "./testing.ts";

afterAll(async () => {
  removeChanged();
  await closeGpu();
});

async function runChanged(id: string, change: (given: Changeable) => void): Promise<Report> {
  return run(await sharedGpu(), { goldens: await changed(id, change) });
}

/**
 * Multiplies one value of JAX's, in f32 and f64 (in f64 alone it would pass for JAX's own rounding): to us it is as if
 * ours were wrong.
 */
const scale = (output: string, index: number, by: number) => (given: Changeable) => {
  for (const precision of ["f32", "f64"]) {
    const data = given.tensors.get(`${precision}/${output}`)?.data as Float32Array | undefined;
    if (data) data[index] = (data[index] as number) * by;
  }
};

test("an unchanged case passes", async () => {
  for (const id of ["act-relu", "ws-00", "xent-0", "fill-check", "agc-groups"]) {
    const report = await runChanged(id, () => {});
    expect(failures(report), id).toEqual([]);
    expect(report.summary.outputs, id).toBeGreaterThan(0);
  }
});

const wrong: [what: string, id: string, change: (given: Changeable) => void, note: RegExp][] = [
  ["an unknown key of the case", "ws-00", ({ entry }) => (entry.extra = 1), /unknown key extra/],
  ["a key of another category", "ws-00", ({ entry }) => (entry.mask = [1]), /unknown key mask/],
  [
    "an unknown category",
    "ws-00",
    ({ entry }) => (entry.category = "wsconv2"),
    /unknown category wsconv2/,
  ],
  [
    "a name of the prototype as category",
    "ws-00",
    ({ entry }) => (entry.category = "toString"),
    /unknown category/,
  ],
  [
    "an unknown setting",
    "ws-00",
    ({ entry }) => (entry.config.mode = "fast"),
    /unknown config key mode/,
  ],
  ["a setting of the wrong type", "ws-00", ({ entry }) => (entry.config.stride = "1"), /stride/],
  [
    "an unknown input",
    "ws-00",
    ({ entry }) => (entry.inputs.z = entry.inputs.x),
    /unknown input z/,
  ],
  [
    "an unknown parameter",
    "ws-00",
    ({ entry }) => (entry.inputs["p/conv/v"] = entry.inputs["p/conv/w"]),
    /no parameter/,
  ],
  [
    "an unknown key of an input",
    "ws-00",
    ({ entry }) => (entry.inputs.x.scale = 2),
    /unknown key scale/,
  ],
  ["an unknown rule", "ws-00", ({ entry }) => (entry.inputs.x.fill.skew = 2), /unknown key skew/],
  [
    "an output that nobody gives",
    "act-relu",
    ({ entry, tensors }) => {
      entry.outputs.d2x = entry.outputs.dx;
      tensors.set("f32/d2x", tensors.get("f32/dx")!);
    },
    /missing/,
  ],
  [
    "an unknown key of an output",
    "act-relu",
    ({ entry }) => (entry.outputs.y.tolerance = 1),
    /unknown key tolerance/,
  ],
  [
    "an output without values",
    "act-relu",
    ({ entry }) => (entry.outputs.z = entry.outputs.y),
    /expected values/,
  ],
  [
    "a tensor that belongs to nothing",
    "act-relu",
    ({ tensors }) => tensors.set("f32/z", tensors.get("f32/y")!),
    /belongs to nothing/,
  ],
  ["another shape", "ws-00", ({ entry }) => (entry.outputs.y.shape = [2, 49, 12]), /shape/],
  [
    "an unknown reference",
    "linear-0",
    ({ entry }) => (entry.reference = "nfnet.py:Other"),
    /unknown module/,
  ],
  [
    "a missing file",
    "ws-00",
    ({ entry }) => (entry.file = "../ws-00.safetensors"),
    /not a file name/,
  ],
  [
    "a case with nothing to judge",
    "act-relu",
    ({ entry, tensors }) => {
      entry.outputs = {};
      for (const name of ["f32/y", "f32/dx", "f64/y", "f64/dx"]) tensors.delete(name);
    },
    /nothing to judge/,
  ],
  ["one value of a value output", "ws-00", scale("y", 5, 1.001), /^$/],
  ["one value of a gradient", "ws-00", scale("d/p/conv/gain", 3, 1.001), /^$/],
  ["NaN where ours is a number", "ws-00", scale("y", 5, Number.NaN), /JAX's f32 is NaN/],
  ["a sample of a strided output", "ws-25", scale("ws", 7, 1.01), /^$/],
  [
    "the norm of a strided output",
    "ws-25",
    ({ entry: { outputs: o } }) => (o.ws.f32.l2 = o.ws.f64.l2 *= 1.001),
    /^$/,
  ],
  [
    "the sum of a strided output",
    "ws-25",
    ({ entry: { outputs: o } }) => (o.ws.f32.sum = o.ws.f64.sum += 1),
    /^$/,
  ],
  [
    "one value of the fill rule",
    "fill-check",
    ({ tensors }) => ((tensors.get("in/utf8")!.data as Float32Array)[49]! *= 1.0000002),
    /element 49/,
  ],
  [
    "one whole number",
    "fill-check",
    ({ tensors }) => ((tensors.get("in/int10")!.data as Int32Array)[7]! ^= 1),
    /element 7/,
  ],
  [
    "one random word",
    "random",
    ({ tensors }) => ((tensors.get("int/key0/bits/3x4")!.data as Uint32Array)[7]! ^= 1),
    /element 7/,
  ],
  ["one random float", "random", scale("key42/normal/5", 2, 1.0001), /f32 alone/],
  [
    "a random output of an unknown kind",
    "random",
    ({ entry, tensors }) => {
      entry.outputs["key0/gumbel/5"] = entry.outputs["key0/normal/5"];
      tensors.set("f32/key0/gumbel/5", tensors.get("f32/key0/normal/5")!);
    },
    /missing/,
  ],
  [
    "a group's weight decay",
    "agc-groups",
    ({ side }) => (side.F0["NFNet/~/linear/w"].weight_decay = null),
    /weight_decay/,
  ],
  [
    "a group's missing parameter",
    "agc-groups",
    ({ side }) => delete side.Tiny["NFNet/~/linear/b"],
    /expected nothing/,
  ],
  [
    "an experiment's setting",
    "agc-groups",
    ({ side }) => (side.config.nfnets.experiment_kwargs.config.lr = 0.2),
    /lr/,
  ],
  ["an optimizer's momentum", "opt-agc", scale("momentum4/conv/w", 0, 1.001), /^$/],
  ["an optimizer's setting", "opt-agc", ({ entry }) => (entry.config.momentum = 0.8), /^$/],
  [
    "an unknown optimizer",
    "opt-agc",
    ({ entry }) => (entry.config.optimizer = "Lion"),
    /unknown optimizer Lion/,
  ],
  [
    "an unknown group",
    "opt-agc-groups",
    ({ entry }) => (entry.config.groups[0] = "b: decay 3"),
    /unknown rule/,
  ],
  ["a mask", "stochdepth-0", ({ entry }) => (entry.mask[0] = 1 - entry.mask[0]), /element 0/],
  [
    "a gradient's sample in the side file",
    "nfnet-tiny-silu",
    ({ side }) => {
      const { samples_f32, samples_f64 } = side["NFNet/~/linear/w"];
      samples_f32[3] = samples_f64[3] *= 1.1;
    },
    /^$/,
  ],
  [
    "an unknown key in the side file",
    "nfnet-tiny-silu",
    ({ side }) => (side["NFNet/~/linear/w"].mean = 1),
    /unknown key mean/,
  ],
  [
    "an unknown parameter in the side file",
    "nfnet-tiny-silu",
    ({ side }) => (side["NFNet/~/linear/v"] = side["NFNet/~/linear/w"]),
    /missing/,
  ],
  ["a step of a curve", "curve-sgd", scale("loss", 2, 1.00002), /step 2/],
  [
    "the step where a curve turns NaN",
    "curve-sgd",
    ({ entry }) => (entry.first_nan_step = 3),
    /NaN/,
  ],
];

test.each(wrong)(
  "fails: %s (%s)",
  async (_, id, change, note) => {
    const report = await runChanged(id, (given) => void change(given));
    const failed = failures(report);
    expect(failed.length, table(report)).toBeGreaterThan(0);
    expect(
      failed.some((row) => note.test(row.note)),
      table(report),
    ).toBe(true);
  },
  120_000,
);

test("a gradient within 3e-3 of a case with kinks says so, beyond that it fails", async () => {
  const verdict = async (by: number, extra: (given: Changeable) => void = () => {}) => {
    const report = await runChanged("nfblock-00-relu", (given) => {
      for (let i = 0; i < 1152; i++) scale("d/x", i, by)(given);
      extra(given);
    });
    const row = report.rows.find(({ output }) => output === "d/x");
    return row?.note === KINK ? KINK : row?.pass ? "pass" : "fail";
  };
  expect(await verdict(1)).toBe("pass");
  expect(await verdict(1.002)).toBe(KINK);
  expect(await verdict(1.004)).toBe("fail");
  expect(await verdict(1.002, scale("y", 0, 1.01))).toBe("fail"); // a value output is wrong
});

test("a stopped run reports the cases that were judged", async () => {
  const stop = new AbortController();
  const report = await run(await sharedGpu(), {
    ...{ goldens: GOLDEN, filter: /^act-/, signal: stop.signal, onProgress: () => stop.abort() },
  });
  expect(report.summary).toMatchObject({ cases: 1, failed: 0 });
  expect(new Set(report.rows.map((row) => row.case)).size).toBe(1);
});

test("the report is JSON, and a filter that matches nothing is an error", async () => {
  const gpu = await sharedGpu();
  const report = await runChanged("act-special", () => {});
  const parsed = JSON.parse(toJson(report));
  expect(parsed.rows).toHaveLength(14);
  expect(parsed.summary).toMatchObject({ cases: 1, failed: 0 });
  expect(table(report, { all: true })).toContain("y/soft_sign");
  await expect(run(gpu, { goldens: GOLDEN, filter: /^nothing$/ })).rejects.toThrow("no case");
  await expect(run(gpu, { goldens: "/nowhere" })).rejects.toThrow("/nowhere/manifest.json");
});
