// The page "Classify" in headless Chromium: right answers, refused files, a lost device, access for everybody.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  drop,
  faults,
  loseDevice,
  openSite,
  overflowAt,
  type Site,
  textOf,
  type Watched,
} from "./testing.ts";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 }); // beside other work SwiftShader takes its time

let site: Site;
let seen: Watched;
beforeAll(async () => {
  site = await openSite();
  seen = await site.open();
  await seen.page.goto(`${site.url}classify.html`);
});
afterAll(() => site?.close());

const words = (text: string) => new TextEncoder().encode(text);
const sample = (digit: number) => `#samples button[aria-label="Sample of a ${digit}"]`;
const pressSample = (digit: number) => seen.page.click(sample(digit));
async function pressByKeyboard(digit: number): Promise<void> {
  await seen.page.focus(sample(digit));
  await seen.page.keyboard.press("Enter");
}

test("a digit is there at the start, and each sample gets its class", async () => {
  const { page } = seen;
  await textOf(page, "#verdict", /^5$/);
  for (const digit of [3, 8]) {
    if (digit === 8) await pressByKeyboard(digit);
    else await pressSample(digit);
    await textOf(page, "#verdict", new RegExp(`^${digit}$`));
    const bars = await page.$$eval("#top li", (all) => all.map((li) => li.textContent));
    expect(bars).toHaveLength(5);
    expect(bars[0]).toMatch(new RegExp(`^${digit}\\d+(\\.\\d)? %$`));
  }
});

test("each part of the network gets a time, and so does the whole", async () => {
  const { page } = seen;
  const note = await textOf(page, "#times-note", /in one go takes/);
  expect(note).toMatch(/GPU’s timestamps|this page’s clock/);
  const parts = await page.$$eval("#parts li", (all) =>
    all.map((li) => [li.firstElementChild?.textContent, li.lastElementChild?.textContent]),
  );
  expect(parts.map(([name]) => name)).toEqual(["stem", "block 0", "block 1", "head"]);
  for (const [, time] of parts) expect(time).toMatch(/^[\d.]+ (µs|ms|s)$/);
});

test("a file that is no checkpoint is refused in the library's words, and the network stays", async () => {
  const { page } = seen;
  await drop(page, "#network-card", "bad.npz", words("neither weights nor anything"));
  expect(await textOf(page, "#network-error", /./)).toMatch(
    /^bad\.npz: haiku: expected a pickle .* it starts with 6e 65 69 74$/,
  );
  await pressSample(0);
  await textOf(page, "#verdict", /^0$/);
  const shipped = readFileSync(new URL("assets/classify/digits.safetensors", import.meta.url));
  await drop(page, "#network-card", "cut.safetensors", shipped.subarray(0, 5000));
  expect(await textOf(page, "#network-error", /^cut/)).toMatch(/cut\.safetensors: /);
});

test("a file that is no picture is refused in the library's words", async () => {
  const { page } = seen;
  await drop(page, "#picture-card", "bad.png", words("no picture"));
  expect(await textOf(page, "#picture-error", /./)).toMatch(
    /^bad\.png: expected a JPEG, PNG or WebP picture, the file starts with 6e 6f 20 70$/,
  );
  expect(await page.$eval("#verdict", (e) => e.textContent)).toBe("…");
  const digit = readFileSync(new URL("assets/classify/digit-7.png", import.meta.url));
  await drop(page, "body", "cut.png", digit.subarray(0, 120)); // anywhere on the page
  expect(await textOf(page, "#picture-error", /cut/)).toBe("cut.png: broken or truncated PNG");
  await drop(page, "body", "seven.png", digit);
  await textOf(page, "#verdict", /^7$/);
  expect(await page.$eval("#picture-error", (e) => (e as HTMLElement).hidden)).toBe(true);
});

test("no serious fault in light and dark, and it fits a phone", async () => {
  const { page } = seen;
  expect(await overflowAt(page, 360)).toBeLessThanOrEqual(0);
  expect([...(await faults(page, "light")), ...(await faults(page, "dark"))]).toEqual([]);
});

test("a lost device is told, and the page starts again", async () => {
  const { page } = seen;
  await loseDevice(page);
  await pressSample(1);
  expect(await textOf(page, ".message.lost", /gone/)).toMatch(/the device was lost/);
  await page.click(".message.lost button");
  await textOf(page, "#verdict", /^1$/);
  expect(await page.$(".message.lost")).toBeNull();
});

test("nothing breaks the policy, and nothing is asked of another host", () => {
  expect(seen.troubles).toEqual([]);
  expect(seen.requests.length).toBeGreaterThan(10);
  expect(
    seen.requests.filter((url) => !url.startsWith(site.url) && !url.startsWith("blob:")),
  ).toEqual([]);
  expect(seen.requests.filter((url) => url.includes("imagenet"))).toEqual([]);
});

test("without WebGPU the page says what to do", async () => {
  const { page } = await site.open();
  await page.evaluateOnNewDocument(() =>
    Object.defineProperty(navigator, "gpu", { value: undefined }),
  );
  await page.goto(`${site.url}classify.html`);
  expect(await textOf(page, "h1", /WebGPU/)).toBe("This page needs WebGPU");
  expect(await page.$$("input")).toEqual([]);
});
