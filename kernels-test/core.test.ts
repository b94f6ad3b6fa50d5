// Runs the engine's own cases, kernels-test/core/*.ts, with vitest on one gpu in debug mode.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, test } from "vitest";
import type { Gpu } from "../src/index.ts";
import { adapterLine, openTestGpu } from "./gpu.ts";
import type { Case } from "./harness.ts";

const folder = fileURLToPath(new URL("./core/", import.meta.url));
let opened: Promise<Gpu> | undefined;
const shared = (): Promise<Gpu> => (opened ??= openTestGpu());

for (const file of readdirSync(folder)
  .filter((f) => f.endsWith(".ts"))
  .sort()) {
  const { cases } = (await import(/* @vite-ignore */ `${folder}${file}`)) as {
    cases?: readonly Case[];
  };
  if (!cases) continue; // ops and networks that the cases share
  describe(file, () => {
    for (const c of cases)
      test(c.name, async () => {
        const gpu = await shared();
        const live = gpu.memory().live;
        await c.run(gpu);
        await gpu.sync(); // an error that a case left behind is its own
        const left = gpu.memory();
        if (left.live > live)
          throw new Error(`it leaves ${left.live - live} buffers: ${JSON.stringify(left.alive)}`);
      });
  });
}

afterAll(async () => {
  if (!opened) return;
  const gpu = await opened;
  console.log(adapterLine(gpu));
  await gpu.close();
});
