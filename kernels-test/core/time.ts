// Cases of `gpu.time`: what it measures, and that it leaves nothing behind. No figure is judged.
import { defineKernel, KernelError, ops, RecordError } from "../../src/index.ts";
import { assert, type Case, equal, equalBits, throws } from "../harness.ts";
import { f32 } from "./net.ts";
import { scale } from "./toy.ts";

export const cases: readonly Case[] = [
  {
    name: "time runs what it is asked for, on the device's clock where there is one",
    async run(gpu) {
      using x = gpu.zeros([1024]);
      const grow = gpu.record(() => gpu.assign({ x }, { x: scale(x, { by: 2 }) }));
      gpu.assign({ x }, { x: { data: new Float32Array(1024).fill(1), shape: [1024] } });
      grow();
      grow();
      const one = await gpu.time(() => grow());
      const ten = await gpu.time(() => {
        for (let i = 0; i < 10; i++) grow();
      });
      const clock = gpu.info.features.has("timestamp-query") ? "timestamp" : "host";
      equal("clock", [one.clock, ten.clock], [clock, clock]);
      assert(one.seconds >= 0 && ten.seconds > 0, "it takes time", [one, ten]);
      equal("all of it ran", (await x.data())[7], 2 ** 13);
      grow.dispose();
    },
  },
  {
    name: "time compiles first, gives memory back, and measures copies alone by the host's clock",
    async run(gpu) {
      using x = gpu.tensor(f32(1, 2, 3));
      const live = gpu.memory().live;
      const { seconds } = await gpu.time(() => scale(x, { by: 5 }));
      assert(seconds >= 0, "a time", seconds);
      equal("nothing left", gpu.memory().live, live);
      const copied = await gpu.time(() => void gpu.zeros([4]).dispose());
      equal("clock", copied.clock, "host");
      equalBits("x stands", await x.data(), [1, 2, 3]);
    },
  },
  {
    name: "time of replays that read images is from the first of them to the last",
    async run(gpu) {
      using x = gpu.zeros([256, 256]);
      const product = gpu.record(() => ops.matmul(x, x));
      product();
      const { seconds } = await gpu.time(() => {
        for (let i = 0; i < 10; i++) product();
      });
      assert(seconds > 0 && seconds < 60, "a time", seconds);
      product.dispose();
    },
  },
  {
    name: "time refuses a recording, and passes on what fails",
    async run(gpu) {
      const inner = gpu.record(() => {
        void gpu.time(() => {});
        return gpu.zeros([1]);
      });
      await throws("recording", () => inner(), RecordError, /time\(\) inside a recorded function/);
      inner.dispose();
      const broken = defineKernel(
        "// broken.wgsl: does not compile\n@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(1) fn main() { y[0] = nothing; }",
        { entry: "main" },
      );
      using y = gpu.zeros([1]);
      await throws(
        "kernel",
        () => gpu.time(() => gpu.dispatch(broken, { y }, {}, [1])),
        KernelError,
        /broken.wgsl:3/,
      );
      equalBits("the gpu goes on", await y.data(), [0]);
    },
  },
];
