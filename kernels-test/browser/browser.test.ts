// Real pages in real browsers: one small case of each kernel, a network's gradients and its training give the bits that
// Node gives on the same driver; and the engine works whole in a worker. `npm run test:all` runs everything.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve } from "../../tools/serve.mjs";
import { ENGINES, type Engine, openBrowser, root } from "./browsers.ts";
import { type Bundle, bundle } from "./bundle.ts";
import type { Seen } from "./offMain.ts";
import { type Driver, type Ran, runAt } from "./run.ts";
import { fileOf, shaderEntries, small } from "./small.ts";

const MINUTES = 60_000;
let made: Bundle;
beforeAll(async () => {
  made = await bundle();
}, MINUTES);
afterAll(() => made?.remove());

describe("the small cases", () => {
  test("are of every op that has cases", () => {
    const ops = new Set(readdirSync(join(root, "src/ops")));
    const files = readdirSync(join(root, "kernels-test/cases")).filter((f) => ops.has(f));
    const there = new Set(small().map(fileOf));
    const missing = files.filter((file) => !there.has(file));
    expect(files.length).toBeGreaterThan(10);
    expect(missing, "npm run test:all -- --choose").toEqual([]);
  });
});

const pairs: readonly (readonly [Engine, Driver])[] = [
  ["chromium", "swiftshader"],
  ["firefox", "lavapipe"],
];
describe.each(pairs)("%s and Node on %s", (engine, driver) => {
  let page: Ran;
  let node: Ran;
  beforeAll(async () => {
    const names = small();
    const options = {
      groups: ["cases", "training"],
      filter: `^training|^(${names.map((n) => n.replace(/[^\w ]/g, "\\$&")).join("|")})$`,
      limit: 300,
    } as const;
    page = await runAt({ engine }, made, options);
    node = await runAt({ driver, present: page.adapter }, made, options);
  }, 15 * MINUTES);

  const failures = ({ results }: Ran) =>
    [...results.values()].filter((r) => r.error).map((r) => `${r.name}: ${r.error}`);

  test("every case passes", () => {
    expect(page.results.size).toBe(small().length + 2);
    expect([...node.results.keys()]).toEqual([...page.results.keys()]);
    expect(failures(page), "in the page").toEqual([]);
    expect(failures(node), "in Node").toEqual([]);
  });

  test("every entry of every shader ran in the page", () => {
    const ran = new Set([...page.results.values()].flatMap(({ kernels }) => kernels));
    const missing = shaderEntries().filter((entry) => !ran.has(entry));
    expect(missing, "npm run test:all -- --choose").toEqual([]);
  });

  test("both choose kernels by the same figures", () => {
    // Nothing is chosen by these two, and Dawn in Node has less of them than Firefox.
    const counted = ["maxStorageBuffersPerShaderStage", "maxBindingsPerBindGroup"];
    const figures = ({ info }: Ran) => {
      const limits = Object.entries(info.limits as object).filter(([n]) => !counted.includes(n));
      return { ...info, limits: Object.fromEntries(limits) };
    };
    expect(figures(node)).toEqual(figures(page));
  });

  test("every byte that is read back is the same", () => {
    const all = [...page.results.values()];
    const odd = all.filter((r) => node.results.get(r.name)?.digest !== r.digest);
    expect(odd.map(({ name }) => name)).toEqual([]);
    const unread = all.filter(({ kernels, reads }) => kernels.length > 0 && reads === 0);
    expect(unread.map(({ name }) => name)).toEqual([]);
  });
});

/** What the page of offMain.ts saw while its worker trained. */
async function trainOffMain(engine: Engine): Promise<Seen> {
  const server = await serve(made.folder);
  const browser = await openBrowser(engine);
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}offMain.html`);
    const polling = 2000; // each look is a task of the page
    await page.waitForFunction(() => globalThis.offMain.done, { polling, timeout: 4 * MINUTES });
    return await page.evaluate(() => globalThis.offMain);
  } finally {
    await browser.close();
    await server.close();
  }
}

describe.each(ENGINES)("in a worker of %s", (engine) => {
  // Other processes can lengthen any task of a busy machine: the engine would in every attempt.
  const retry = 2;
  test("the engine compiles with progress and trains, and the page's own thread stays free", {
    retry,
    timeout: 5 * MINUTES,
  }, async () => {
    const seen = await trainOffMain(engine);
    expect(seen.error).toBeNull();
    const all = seen.progress[0]?.[1] ?? 0;
    expect(all).toBeGreaterThan(10);
    expect(seen.progress).toEqual(Array.from({ length: all }, (_, i) => [i + 1, all]));
    expect(seen.late, "pipelines made after gpu.compile").toBe(0);
    expect(seen.losses.length).toBe(30);
    expect(seen.losses.at(-1)).toBeLessThan(0.7 * seen.losses[0]!);
    // Firefox has no such observer.
    expect(seen.longTasks, "tasks over 50 ms").toEqual(engine === "chromium" ? [] : null);
  });
});
