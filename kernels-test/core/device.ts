// Cases of devices: brought by the caller, lost, opened twice, asked for more than they have.

import { requestAdapter } from "#platform";
import {
  DeviceError,
  DeviceLostError,
  LimitError,
  openGpu,
  type Tensor,
  tree,
} from "../../src/index.ts";
import { alike } from "../alike.ts";
import { assert, type Case, equal, equalBits, throws, values } from "../harness.ts";
import { f32, params, pick } from "./net.ts";
import { mul, relu, scale } from "./toy.ts";

const bring = async (kind: "hardware" | "software") => {
  const adapter = await requestAdapter(kind);
  if (!adapter) throw new Error(`no ${kind} adapter`);
  return adapter.requestDevice({ label: "the caller's" });
};

export const cases: readonly Case[] = [
  {
    name: "all limits of the adapter are asked for",
    async run(gpu) {
      const adapter = await requestAdapter(gpu.info.kind);
      const all = await openGpu({ adapter: gpu.info.kind });
      for (const name of [
        "maxBufferSize",
        "maxStorageBufferBindingSize",
        "maxComputeWorkgroupStorageSize",
        "maxComputeInvocationsPerWorkgroup",
        "maxStorageBuffersPerShaderStage",
      ] as const)
        equal(name, all.info.limits[name], adapter?.limits[name]);
      const strings = [all.info.vendor, all.info.architecture, all.info.description];
      equal("a browser may hide them", strings.map((s) => typeof s).join(), "string,string,string");
      await all.close();
    },
  },
  {
    name: "a gpu with the default limits and no optional feature",
    async run(gpu) {
      const least = await openGpu({ adapter: gpu.info.kind, limits: "default", features: [] });
      const { limits, features, subgroups } = least.info;
      equal("storage buffers", limits.maxStorageBuffersPerShaderStage, 8);
      equal("a binding", limits.maxStorageBufferBindingSize, 2 ** 27);
      equal("workgroup memory", limits.maxComputeWorkgroupStorageSize, 16_384);
      equal("invocations", limits.maxComputeInvocationsPerWorkgroup, 256);
      equal("alignment", limits.minStorageBufferOffsetAlignment, 256);
      equal("subgroups", subgroups, null);
      for (const name of ["subgroups", "timestamp-query", "shader-f16"])
        equal(name, features.has(name), false);
      using y = scale(least.tensor(f32(1, 2)), { by: 3 });
      equalBits("it computes", await y.data(), [3, 6]);
      equal("its clock", (await least.time(() => scale(y, { by: 2 }))).clock, "host");
      await least.close();
    },
  },
  {
    name: "options that there are not",
    async run(gpu) {
      const adapter = gpu.info.kind;
      const open = (options: object) => () => openGpu({ adapter, ...options });
      const says = (...words: RegExp[]) => [DeviceError, /^openGpu: expected /, ...words] as const;
      await throws("limits", open({ limits: "least" }), ...says(/"default"/, /"least"$/));
      await throws("a word", open({ features: "subgroups" }), ...says(/list/, /"subgroups"$/));
      await throws("a feature", open({ features: ["f64"] }), ...says(/shader-f16/, /"f64"$/));
      const all = await openGpu({ adapter });
      for (const name of ["subgroups", "timestamp-query", "shader-f16"] as const) {
        if (all.info.features.has(name)) continue; // Firefox lacks some
        const one = open({ features: [name] });
        await throws(
          name,
          one,
          DeviceError,
          new RegExp(`^openGpu: the adapter has no .*'${name}'`),
        );
      }
      await all.close();
      const device = await bring(adapter);
      await throws("both", open({ device, features: [] }), ...says(/device/, /"features"$/));
      device.destroy();
    },
  },
  {
    name: "a device that the caller brings is used and never destroyed",
    async run(gpu) {
      const device = await bring(gpu.info.kind);
      let lost = false;
      void device.lost.then(() => {
        lost = true;
      });
      const g = await openGpu({ device, debug: true });
      using y = scale(g.tensor(f32(1, 2)), { by: 3 });
      equalBits("it computes", await y.data(), [3, 6]);
      await g.close();
      await throws("closed", () => g.tensor(f32(1)), DeviceError, /closed/);
      const again = await openGpu({ device });
      using z = scale(again.tensor(f32(5)), { by: 3 });
      equalBits("opened again", await z.data(), [15]);
      await again.close();
      await device.queue.onSubmittedWorkDone();
      equal("lost", lost, false);
      device.destroy();
    },
  },
  {
    name: "an error of the caller's own on a device that it brought stays the caller's",
    async run(gpu) {
      const device = await bring(gpu.info.kind);
      const heard: string[] = [];
      device.addEventListener("uncapturederror", (e) => {
        heard.push(e.error.message);
        e.preventDefault();
      });
      const g = await openGpu({ device });
      device.createBuffer({ size: 4, usage: 0 }); // invalid: no usage
      using y = scale(g.tensor(f32(2)), { by: 3 });
      equalBits("it computes", await y.data(), [6]);
      await device.queue.onSubmittedWorkDone();
      equal("the caller heard of it", heard.length, 1);
      await g.close();
      device.destroy();
    },
  },
  {
    name: "a device that is lost",
    async run(gpu) {
      const device = await bring(gpu.info.kind);
      const g = await openGpu({ device });
      const x = g.tensor(f32(1, 2));
      const p = params(g, { w: values([1, 2]) });
      const f = g.record((v: Tensor) => mul(v, p.w), { name: "f" });
      for (let i = 0; i < 3; i++) await f(f32(1, 2)).data();
      const pending = f(f32(3, 4))
        .data()
        .then(
          () => "read",
          (e: Error) => e,
        );
      device.destroy();
      const first = await pending;
      assert(first === "read" || first instanceof DeviceLostError, "a pending read", first);
      await device.lost;
      await Promise.resolve();
      const says = /lost/;
      await throws("data()", () => x.data(), DeviceLostError, says);
      await throws("op", () => relu(x, { gain: 1 }), DeviceLostError, /^relu/, says);
      await throws("replay", () => f(f32(1, 2)), DeviceLostError, /^f/, says);
      await throws("sync", () => g.sync(), DeviceLostError, says);
      await throws("tensor", () => g.tensor(f32(1)), DeviceLostError, says);
      await throws("read", () => g.read(p), DeviceLostError, says);
      await throws("assign", () => g.assign(p, { w: f32(1, 2) }), DeviceLostError, says);
      await g.close();
      using y = gpu.tensor(f32(7));
      equalBits("another gpu is usable after", await y.data(), [7]);
    },
  },
  {
    name: "a device that somebody destroys while it is waited for",
    async run(gpu) {
      const opened = async () => {
        const device = await bring(gpu.info.kind);
        const g = await openGpu({ device });
        const x = g.tensor(values(new Float32Array(1000).fill(1)));
        const step = g.record((v: Tensor) => mul(v, x), { name: "step" });
        for (let i = 0; i < 3; i++) step(x);
        return { device, g, step, x };
      };
      const says = /lost/;
      const waits = {
        sync: ({ g }) => g.sync(),
        data: ({ step, x }) => step(x).data(),
        read: ({ g, step, x }) => g.read({ y: step(x), x }),
        time: ({ g, step, x }) => g.time(() => step(x)),
        compile: ({ g, x }) =>
          g.compile(
            g.record((v: Tensor) => scale(v, { by: 5 })),
            [x],
          ),
      } satisfies Record<string, (o: Awaited<ReturnType<typeof opened>>) => Promise<unknown>>;
      for (const [name, wait] of Object.entries(waits)) {
        const during = await opened();
        const pending = wait(during).then(
          () => null,
          (e: unknown) => e,
        );
        during.device.destroy();
        const error = await pending; // what was done before may have been heard of
        const fine = error === null || error instanceof DeviceLostError;
        assert(fine, `${name}: DeviceLostError, or done before`, error);
        await throws(`${name}, and then`, () => wait(during), DeviceLostError, says);
        await during.g.close();
        const before = await opened();
        before.device.destroy();
        await throws(`${name}, destroyed before`, () => wait(before), DeviceLostError, says);
        await before.g.close();
      }
      const next = await openGpu(alike(gpu));
      using y = scale(next.tensor(f32(2)), { by: 3 });
      equalBits("a new gpu computes", await y.data(), [6]);
      await next.close();
    },
  },
  {
    name: "what the device reports later is thrown by the next awaited call",
    async run(gpu) {
      // Running out of memory for real would take the machine with it: the scopes of a device of ours report it.
      const device = await bring(gpu.info.kind);
      const pop = device.popErrorScope.bind(device);
      let next: GPUError | null = null;
      device.popErrorScope = async () => {
        const [real, fake] = [await pop(), next];
        next = null;
        return fake ?? real;
      };
      const g = await openGpu({ device });
      using x = g.tensor(f32(1, 2));
      await g.sync();
      next = { message: "no more of it" } as GPUOutOfMemoryError; // the innermost scope asks first: memory's
      using large = g.zeros([100_000]);
      await throws("sync", () => g.sync(), DeviceError, /buffer of \d+ bytes/, /no more of it/);
      using y = scale(x, { by: 2 });
      equalBits("usable after", await y.data(), [2, 4]);
      equal("the large one too", (await large.data())[99_999], 0);
      await g.close();
      device.destroy();
    },
  },
  {
    name: "two gpus at once",
    async run(gpu) {
      const other = await openGpu(alike(gpu));
      const a = gpu.scope(() => scale(gpu.tensor(f32(1)), { by: 2 }));
      const b = scale(other.tensor(f32(1)), { by: 3 });
      equal("both", await Promise.all([a.item(), b.item()]), [2, 3]);
      await other.close();
      equal("one after the other is closed", await a.item(), 2);
      for (const { op } of gpu.memory().alive) assert(op !== "", "named");
      a.dispose();
    },
  },
  {
    name: "uploads that nothing is awaited behind end in a clear error",
    async run(gpu) {
      const g = await openGpu(alike(gpu));
      g.internals.recorder.maxUploads = 2 ** 24;
      const t = g.tensor(new Float32Array(2 ** 18)); // 1 MiB
      const f = g.record((x: Tensor) => pick(x), { name: "f" });
      const data = new Float32Array(2 ** 18).fill(1);
      const loop = () => {
        for (let i = 0; i < 100; i++) f(data);
      };
      await throws("calls", loop, LimitError, /await/, new RegExp(String(2 ** 24)));
      const assigns = () => {
        for (let i = 0; i < 100; i++) g.assign(t, data);
      };
      await throws("assign", assigns, LimitError, /await/);
      await g.sync();
      for (let i = 0; i < 40; i++) {
        const y = f(data);
        if (i % 8 === 7) equal("a loop that awaits", await y.item(), 64);
      }
      tree.dispose(t);
      await g.close();
    },
  },
];
