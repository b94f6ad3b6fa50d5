// Golden folders that lie: each gives failed rows or is refused as a whole, and the runner goes on.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FormatError } from "../src/index.ts";
import { changed, type Json, removeChanged } from "./changed.ts";
import { openGoldens, run, table } from "./index.ts";
import { closeGpu, sharedGpu } from "./testing.ts";

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) rmSync(folder, { recursive: true });
  removeChanged();
  await closeGpu();
});

function manifest(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "parity-"));
  folders.push(folder);
  writeFileSync(join(folder, "manifest.json"), text);
  return folder;
}

test.each([
  ["no JSON", "{"],
  ["nothing", ""],
  ["a list", "[]"],
  ["no cases", "{}"],
  ["cases that are no list", '{"cases": {}}'],
  ["a case without a name", '{"cases": [{"category": "fill"}]}'],
  ["a case that is null", '{"cases": [null]}'],
  [
    "two cases of one name",
    JSON.stringify({ cases: [1, 2].map(() => ({ id: "a", category: "b" })) }),
  ],
])("a manifest with %s is refused", async (_, text) => {
  await expect(openGoldens(manifest(text))).rejects.toThrow(FormatError);
});

const lies: [what: string, change: (entry: Json) => void][] = [
  ["an input of 2^60 elements", (e) => (e.inputs.x.shape = [2 ** 30, 2 ** 30])],
  ["an input of 2^31 elements", (e) => (e.inputs.x.shape = [2 ** 31])],
  ["a negative shape", (e) => (e.inputs.x.shape = [-1, 7, 7, 8])],
  ["a shape that is text", (e) => (e.inputs.x.shape = "2,7,7,8")],
  ["another input shape", (e) => (e.inputs.x.shape = [2, 7, 7, 9])],
  ["an output shape of the same size", (e) => e.outputs.y.shape.reverse()],
  ["an output of 2^60 elements", (e) => (e.outputs.y.shape = [2 ** 30, 2 ** 30])],
  ["a path out of the folder", (e) => (e.file = "../../etc/passwd")],
  ["an absolute path", (e) => (e.file = "/etc/passwd")],
  ["a side file outside", (e) => (e.side = "../manifest.json")],
  ["a file that is not there", (e) => (e.file = "none.safetensors")],
  ["a file that is a number", (e) => (e.file = 7)],
  ["no inputs", (e) => delete e.inputs],
  ["outputs that are a list", (e) => (e.outputs = [])],
  ["an output that is null", (e) => (e.outputs.y = null)],
  ["a config that is null", (e) => (e.config = null)],
  ["a kernel of 2^40", (e) => (e.config.kernel = 2 ** 40)],
  ["no groups to divide by", (e) => (e.config.groups = 0)],
];

test.each(lies)("a case with %s fails, and the run goes on", async (_, change) => {
  const gpu = await sharedGpu();
  const report = await run(gpu, { goldens: await changed("ws-00", ({ entry }) => change(entry)) });
  expect(report.summary.failed, table(report)).toBeGreaterThan(0);
  expect(report.rows.every(({ pass }) => typeof pass === "boolean")).toBe(true);
});

test.each([0, 4, 8, 100, 2000])("a file cut at byte %i fails", async (length) => {
  const gpu = await sharedGpu();
  const folder = await changed("ws-00", () => {});
  writeFileSync(join(folder, "ws-00.safetensors"), new Uint8Array(length).fill(255));
  const report = await run(gpu, { goldens: folder });
  expect(report.summary).toMatchObject({ cases: 1, failed: report.rows.length });
  expect(report.rows.length).toBeGreaterThan(0);
});
