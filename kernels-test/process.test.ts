// What only a process of its own can show: it ends by itself after close(), and says what to do without an adapter.
import { execFile } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { adapter } from "./gpu.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = join(root, "node_modules/.cache/nfgrad-process");
const library = join(folder, "nfgrad.mjs");

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** When it ended, as Date.now() has it. */
  readonly at: number;
}
/** Runs a module that imports the library as `nfgrad`. */
const child = (body: string, env: Record<string, string> = {}): Promise<Ended> =>
  new Promise((resolve) =>
    execFile(
      process.execPath,
      ["--input-type=module", "-e", `import * as nfgrad from ${JSON.stringify(library)};\n${body}`],
      { cwd: root, timeout: 50_000, env: { ...process.env, NFGRAD_ADAPTER: adapter, ...env } },
      (error, out, err) =>
        resolve({ code: error ? Number(error.code ?? -1) : 0, out, err, at: Date.now() }),
    ),
  );

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [join(root, "src/index.ts")],
    outfile: library,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
    loader: { ".wgsl": "text" },
    external: ["webgpu"],
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const work = `
const gpu = await nfgrad.openGpu();
const k = nfgrad.defineKernel(
  "@group(0) @binding(0) var<storage, read_write> y: array<f32>;" +
  "@compute @workgroup_size(1) fn main() { y[0] = 5.0; }", { entry: "main" });
const y = gpu.zeros([1]);
gpu.dispatch(k, { y }, {}, [1]);
if ((await y.item()) !== 5) throw new Error("wrong value");
`;

test("close() lets the process exit within a second", async () => {
  const { code, out, err, at } = await child(`${work}await gpu.close(); console.log(Date.now());`);
  expect({ code, err: err.replace(/^Warning: max.*\n/gm, "") }).toEqual({ code: 0, err: "" });
  const after = at - Number(out);
  expect(after, `it ended ${after} ms after close()`).toBeLessThan(1000);
});

test("without close() the process exits too", async () => {
  const { code, out, at } = await child(`${work}console.log(Date.now());`);
  expect(code).toBe(0);
  expect(at - Number(out)).toBeLessThan(2000);
});

test("close() with work that nobody waited for", async () => {
  const { code, err } = await child(
    `${work}for (let i = 0; i < 500; i++) gpu.dispatch(k, { y }, {}, [1]); void y.data().catch(() => {}); await gpu.close();`,
  );
  expect({ code, err: err.replace(/^Warning: max.*\n/gm, "") }).toEqual({ code: 0, err: "" });
});

test("opening and closing many times", async () => {
  const { code, out } = await child(`
for (let i = 0; i < 10; i++) {
  const gpu = await nfgrad.openGpu();
  const t = gpu.tensor([i]);
  if ((await t.item()) !== i) throw new Error("wrong value");
  await gpu.close();
}
console.log("done");`);
  expect({ code, out: out.trim() }).toEqual({ code: 0, out: "done" });
});

test("no adapter of the kind asked for is an error with instructions", async () => {
  const { code, err } = await child("await nfgrad.openGpu();", {
    NFGRAD_ADAPTER: "hardware",
    VK_DRIVER_FILES: "/nonexistent/driver.json",
    VK_ICD_FILENAMES: "/nonexistent/driver.json",
  });
  expect(code).not.toBe(0);
  expect(err).toMatch(/DeviceError: openGpu: no \w+ adapter: \w+/);
  if (process.platform === "linux") expect(err).toMatch(/install a Vulkan driver/);
  const wrong = await child("await nfgrad.openGpu();", { NFGRAD_ADAPTER: "abacus" });
  expect(wrong.err).toMatch(
    /DeviceError: .*NFGRAD_ADAPTER is "hardware" or "software", not "abacus"/,
  );
});

test("an error that nobody awaited is thrown by close()", async () => {
  const { out } = await child(`
const gpu = await nfgrad.openGpu();
const bad = nfgrad.defineKernel(
  "// bad.wgsl: b\\n@group(0) @binding(0) var<storage, read_write> y: array<f32>;\\n" +
  "@compute @workgroup_size(1) fn main() { y[0] = nope; }", { entry: "main" });
gpu.dispatch(bad, { y: gpu.zeros([1]) }, {}, [1]);
await gpu.close().then(() => console.log("silent"), (e) => console.log(e.name, e.message.split("\\n")[0]));`);
  expect(out).toMatch(/^KernelError bad\.wgsl:3:48 .*nope/);
});
