// Runs every case of kernels-test/cases with vitest, on one gpu. What a case is stands in harness.ts.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, test } from "vitest";
import type { Gpu } from "../src/index.ts";
import { adapterLine, openTestGpu } from "./gpu.ts";
import type { Case } from "./harness.ts";

const folder = fileURLToPath(new URL("./cases/", import.meta.url));
let opened: Promise<Gpu> | undefined;
const shared = (): Promise<Gpu> => (opened ??= openTestGpu());

for (const file of readdirSync(folder)
  .filter((f) => f.endsWith(".ts"))
  .sort()) {
  const loaded = (await import(/* @vite-ignore */ `${folder}${file}`).catch((e: Error) => e)) as
    | { cases?: readonly Case[] }
    | Error;
  describe(file, () => {
    test("loads", () => {
      if (loaded instanceof Error) throw loaded;
      if (!loaded.cases?.length) throw new Error(`kernels-test/cases/${file} exports no cases`);
      const names = loaded.cases.map((c) => c.name);
      const twice = names.filter((n, i) => names.indexOf(n) !== i);
      if (twice.length) throw new Error(`${file}: two cases are called ${twice}`);
    });
    if (loaded instanceof Error) return;
    for (const c of loaded.cases ?? [])
      test(c.name, async () => {
        const gpu = await shared();
        await c.run(gpu);
        await gpu.sync(); // an error that a case left behind is its own
      });
  });
}

afterAll(async () => {
  if (!opened) return;
  const gpu = await opened;
  console.log(adapterLine(gpu));
  await gpu.close();
});
