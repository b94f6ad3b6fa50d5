// The platforms: both have the whole interface; files appear whole or not at all; adapters are of the kind asked for.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { DeviceError, FormatError } from "../../src/errors.ts";
import * as browser from "../../src/platform/browser/index.ts";
import * as node from "../../src/platform/node/index.ts";
import { isSoftware, type Platform } from "../../src/platform/types.ts";

const root = mkdtempSync(join(tmpdir(), "nfgrad-platform-"));
afterAll(() => rmSync(root, { recursive: true }));
const platforms: Record<string, Platform> = { node, browser };

test("both platforms have the same exports", () => {
  expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
  for (const { adapterHelp } of Object.values(platforms)) expect(adapterHelp).not.toBe("");
});

describe("adapters in Node", () => {
  test("software when software is asked for", async () => {
    const adapter = await node.requestAdapter("software");
    expect(adapter).not.toBeNull();
    expect(isSoftware(adapter!.info)).toBe(true);
  });
  test("never software when hardware is asked for", async () => {
    const adapter = await node.requestAdapter("hardware");
    expect(adapter === null || !isSoftware(adapter.info)).toBe(true);
  });
  test("NFGRAD_ADAPTER takes two values", async () => {
    const before = process.env.NFGRAD_ADAPTER;
    try {
      process.env.NFGRAD_ADAPTER = "gpu";
      await expect(node.requestAdapter()).rejects.toThrow(DeviceError);
      await expect(node.requestAdapter()).rejects.toThrow(/"hardware" or "software", not "gpu"/);
    } finally {
      if (before === undefined) delete process.env.NFGRAD_ADAPTER;
      else process.env.NFGRAD_ADAPTER = before;
    }
  });
  test("the environment is as it was", async () => {
    const before = { ...process.env };
    await node.requestAdapter("software");
    expect({ ...process.env }).toEqual(before);
  });
});

test("what counts as software", () => {
  const info = (text: Partial<GPUAdapterInfo>) =>
    ({ vendor: "", architecture: "", device: "", description: "", ...text }) as GPUAdapterInfo;
  expect(isSoftware(info({ isFallbackAdapter: true }))).toBe(true);
  expect(isSoftware(info({ vendor: "mesa", architecture: "software" }))).toBe(true);
  expect(isSoftware(info({ vendor: "google", architecture: "swiftshader" }))).toBe(true);
  expect(isSoftware(info({ description: "Microsoft Basic Render Driver" }))).toBe(true);
  expect(isSoftware(info({ vendor: "nvidia", architecture: "hopper" }))).toBe(false);
  expect(isSoftware(info({ vendor: "mesa", description: "AMD RADV" }))).toBe(false);
});

describe("waiting beside a software adapter", () => {
  const turns = (n: number): Promise<number> =>
    new Promise((done) => setImmediate(() => done(n <= 1 ? 7 : turns(n - 1))));
  test("gives what the promise gives", async () => {
    expect(await node.patiently(turns(3), "software")).toBe(7);
    await expect(
      node.patiently(
        turns(2).then(() => Promise.reject(Error("no"))),
        "software",
      ),
    ).rejects.toThrow("no");
  });
  test("naps once a turn of the event loop, however many wait and waited before", async () => {
    const naps = vi.spyOn(Atomics, "wait");
    try {
      for (let i = 0; i < 20; i++) await node.patiently(turns(2), "software");
      naps.mockClear();
      const started = performance.now();
      await Promise.all([1, 2, 3].map(() => node.patiently(turns(40), "software")));
      expect(naps.mock.calls.length).toBeGreaterThan(30);
      expect(naps.mock.calls.length).toBeLessThanOrEqual(41);
      const longest = Math.min(10, (performance.now() - started) / 16);
      for (const [, , , ms] of naps.mock.calls) expect(ms).toBeLessThanOrEqual(longest);
      naps.mockClear();
      await turns(10);
      expect(naps.mock.calls.length).toBeLessThanOrEqual(1); // nobody waits
    } finally {
      naps.mockRestore();
    }
  });
});

describe("files in Node", () => {
  const file = join(root, "a.bin");
  const names = () => readdirSync(root);

  test("written in chunks, read whole and in pieces", async () => {
    await node.writeFile(file, [Uint8Array.of(1, 2), Uint8Array.of(3, 4, 5)]);
    expect([...(await node.readFile(file))]).toEqual([1, 2, 3, 4, 5]);
    const opened = await node.openFile(file);
    expect([opened.name, opened.size]).toEqual([file, 5]);
    expect([...(await opened.read(1, 3))]).toEqual([2, 3, 4]);
    expect(await node.listFolder(root)).toEqual(["a.bin"]);
  });
  test("a write that fails leaves the old file and nothing else", async () => {
    async function* broken() {
      yield Uint8Array.of(9);
      throw new Error("no more");
    }
    await expect(node.writeFile(file, broken())).rejects.toThrow(
      /a\.bin: cannot be written: no more/,
    );
    expect([...readFileSync(file)]).toEqual([1, 2, 3, 4, 5]);
    expect(names()).toEqual(["a.bin"]);
  });
  test("a folder that does not exist", async () => {
    const path = join(root, "no", "b.bin");
    await expect(node.writeFile(path, [])).rejects.toThrow(
      /b\.bin: cannot be written: no such file/,
    );
    await expect(node.readFile(path)).rejects.toThrow(/b\.bin: no such file/);
    await expect(node.openFile(path)).rejects.toThrow(FormatError);
    await expect(node.listFolder(path)).rejects.toThrow(/no such folder/);
    await expect(node.openFile(root)).rejects.toThrow(/is not a file/);
  });
  test("reading past the end, and a file that changed", async () => {
    const opened = await node.openFile(file);
    await expect(opened.read(3, 3)).rejects.toThrow(/expected 3 bytes at 3, the file has 5/);
    writeFileSync(file, "longer than before");
    await expect(opened.read(0, 2)).rejects.toThrow(/was written to while it was being read/);
  });
  test("a browser says what to do instead", async () => {
    await expect(browser.readFile("x")).rejects.toThrow(/no file "x"; give bytes or a Blob/);
    await expect(browser.openFile("x")).rejects.toThrow(FormatError);
    await expect(browser.writeFile("x", [])).rejects.toThrow(/io\.save/);
    await expect(browser.listFolder("x")).rejects.toThrow(FormatError);
    expect(await browser.requestAdapter()).toBeNull();
  });
});
