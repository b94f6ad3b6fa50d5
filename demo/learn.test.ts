// The page "Learn" in headless Chromium, with the small network (`?small`), since a software adapter does the work:
// training, controls, drawing, files, a lost device, access for everybody.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ElementHandle, Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeIdx } from "../src/io/datasets.ts";
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

let site: Site;
let seen: Watched;
beforeAll(async () => {
  site = await openSite();
  seen = await site.open();
  await seen.page.goto(`${site.url}index.html?small`);
}, 60_000);
afterAll(() => site?.close());

const SLOW = 170_000; // beside other work; alone it takes a tenth
const step = async () =>
  Number((await seen.page.$eval("#fact-step", (e) => e.textContent ?? "")).replace(",", ""));
const stepAbove = (least: number) =>
  seen.page.waitForFunction(
    (least) => Number(document.querySelector("#fact-step")!.textContent!.replace(",", "")) > least,
    { timeout: SLOW, polling: 50 },
    least,
  );
/** A network's loss, smoothed, as the chart's label says it. */
const lossLabel = () => seen.page.$eval("#loss", (e) => e.getAttribute("aria-label") ?? "");
/** Processor time of each task of the page's thread while `work` goes on, in ms: what else runs here does not count. */
async function tasks(page: Page, work: () => Promise<unknown>): Promise<number[]> {
  await page.tracing.start({ categories: ["toplevel", "devtools.timeline"] });
  await work();
  const { traceEvents } = JSON.parse(new TextDecoder().decode(await page.tracing.stop()));
  type Event = { name: string; pid: number; tid: number; tdur?: number; args?: { name?: string } };
  const events = traceEvents as readonly Event[];
  // Only the page's own thread draws; the worker's has tasks, too.
  const draws = events.filter(({ name }) => name === "FireAnimationFrame");
  const own = new Set(draws.map(({ pid, tid }) => `${pid}.${tid}`));
  return events
    .filter(({ name, pid, tid }) => name.endsWith("RunTask") && own.has(`${pid}.${tid}`))
    .map(({ tdur = 0 }) => tdur / 1000);
}
const resume = async () => {
  if ((await seen.page.$eval("#play", (e) => e.textContent)) === "Resume")
    await seen.page.click("#play");
  await textOf(seen.page, "#play", /^Pause$/);
};
const pause = async () => {
  await resume();
  await seen.page.click("#play");
  await textOf(seen.page, "#play", /^Resume$/);
};

test(
  "the networks train: one's loss falls, the other diverges",
  async () => {
    await stepAbove(0);
    expect(await seen.page.$eval("#compile", (e) => (e as HTMLElement).hidden)).toBe(true);
    await seen.page.waitForFunction(
      () => {
        const label = document.querySelector("#loss")!.getAttribute("aria-label")!;
        return Number(/with clipping ([\d.]+)/.exec(label)?.[1]) < 2.2; // chance is 2.30
      },
      { timeout: SLOW, polling: 100 },
    );
    await textOf(seen.page, "#score-free", /^diverged$/, SLOW);
    await seen.page.waitForFunction(
      () =>
        /without clipping diverged at step \d+$/.test(document.querySelector("#loss")!.ariaLabel!),
      { timeout: SLOW, polling: 100 }, // the charts are drawn a little later
    );
    expect(await textOf(seen.page, "#score-clipped", /%/, SLOW)).toMatch(/^\d+ %$/);
    const layers = await seen.page.$$eval("#heat-now li", (all) => all.map((e) => e.textContent));
    expect(layers).toHaveLength(19);
    expect(layers.every((text) => /^\d+ %$/.test(text ?? ""))).toBe(true);
  },
  3 * SLOW,
);

test(
  "the page's own thread has no task over 50 ms while training",
  async () => {
    const from = await step();
    const cpu = await tasks(seen.page, () => stepAbove(from + 5));
    expect(cpu.length).toBeGreaterThan(10);
    expect(Math.max(...cpu)).toBeLessThan(50);
  },
  SLOW,
);

test(
  "pause, step and reset",
  async () => {
    await pause();
    await new Promise((done) => setTimeout(done, 500)); // what was under way arrives
    const at = await step();
    await new Promise((done) => setTimeout(done, 1500));
    expect(await step()).toBe(at);
    await seen.page.click("#step");
    await stepAbove(at);
    expect(await step()).toBe(at + 1);
    await seen.page.click("#reset");
    await textOf(seen.page, "#fact-step", /^0$/, SLOW);
    await seen.page.click("#step");
    await stepAbove(0);
    expect(await lossLabel()).toMatch(/without clipping (2\.\d+|not started)/); // alive again
  },
  SLOW,
);

test(
  "a digit drawn with the mouse, or with the keyboard, gets its class at once",
  async () => {
    const { page } = seen;
    await page.select("#reader", "trained");
    const area = (await page.$("#pad"))!;
    await area.evaluate((e) => e.scrollIntoView({ block: "center" })); // the mouse reaches only what is seen
    const box = (await area.boundingBox())!;
    const to = (x: number, y: number) => [box.x + x * box.width, box.y + y * box.height] as const;
    const stroke = async (points: readonly (readonly [number, number])[]) => {
      await page.mouse.move(...to(...points[0]!));
      await page.mouse.down();
      for (const point of points.slice(1)) await page.mouse.move(...to(...point), { steps: 4 });
      await page.mouse.up();
    };
    const turn = 2 * Math.PI;
    const ring = Array.from({ length: 17 }, (_, i) => {
      const angle = (turn * i) / 16;
      return [0.5 + 0.22 * Math.sin(angle), 0.5 - 0.33 * Math.cos(angle)] as const;
    });
    await stroke(ring);
    await textOf(page, "#verdict", /trained network says 0\.$/, SLOW);
    await page.click("#clear");
    await textOf(page, "#verdict", /will guess/, SLOW);
    await stroke([
      [0.25, 0.2],
      [0.75, 0.2],
      [0.45, 0.85],
    ]);
    await textOf(page, "#verdict", /trained network says 7\.$/, SLOW);

    await page.focus("#pad");
    await page.keyboard.press("Delete");
    await page.keyboard.press("Space");
    for (let i = 0; i < 12; i++) await page.keyboard.press("ArrowDown");
    await textOf(page, "#verdict", /trained network says 1\.$/, SLOW);
    await page.select("#reader", "clipped");
    await textOf(page, "#verdict", /clipped network says \d\.$/, SLOW);
    const parts = await page.$$eval("#classes li > :last-child", (all) =>
      all.map((e) => Number.parseInt(e.textContent ?? "", 10)),
    );
    expect(Math.abs(parts.reduce((a, b) => a + b, 0) - 100)).toBeLessThanOrEqual(5); // rounded
  },
  3 * SLOW,
);

test(
  "a bad file gets the library's error, a good pair is trained on",
  async () => {
    const { page } = seen;
    await drop(page, "#drop", "holiday.jpg", Uint8Array.of(1, 2, 3));
    await textOf(page, "#files-error", /expected a file of images and one of labels.*holiday\.jpg/);
    const folder = await mkdtemp(join(tmpdir(), "nfgrad-learn-"));
    const put = async (name: string, bytes: Uint8Array) => {
      await writeFile(join(folder, name), bytes);
      return join(folder, name);
    };
    const input = await page.$("#files");
    const choose = async (...files: string[]) =>
      (input as ElementHandle<HTMLInputElement>).uploadFile(...files);
    const pixels = Uint8Array.from({ length: 40 * 784 }, (_, i) => (i * i) % 251);
    const labels = Uint8Array.from({ length: 40 }, (_, i) => i % 10);
    const [images, own] = writeIdx({
      count: 40,
      height: 28,
      width: 28,
      channels: 1,
      pixels,
      labels,
    });
    const labelFile = await put("train-labels-idx1-ubyte", own);
    await choose(await put("train-images-idx3-ubyte", images.subarray(0, 99)), labelFile);
    const error = await textOf(page, "#files-error", /expected 31376 bytes/);
    expect(error).toBe(
      "train-images-idx3-ubyte: expected 31376 bytes for [40,28,28], the file has 99",
    );
    expect(await page.$eval("#step", (e) => (e as HTMLButtonElement).disabled)).toBe(false);
    await choose(await put("train-images-idx3-ubyte", images), labelFile);
    await textOf(page, "#adapter", /36 own images/, SLOW);
    await stepAbove(0);
    expect(await page.$eval("#files-error", (e) => (e as HTMLElement).hidden)).toBe(true);
    await page.click("#digits");
    await textOf(page, "#adapter", /9,000 MNIST images/, SLOW);
    await stepAbove(2);
    await rm(folder, { recursive: true });
  },
  3 * SLOW,
);

test(
  "after a lost device training goes on from the checkpoint in memory",
  async () => {
    const { page } = seen;
    await loseDevice(page);
    const said = await textOf(page, "#trouble-text", /Training stopped: .*lost/, SLOW);
    const kept = Number(/go on from step ([\d,]+)/.exec(said)?.[1]?.replace(",", ""));
    expect(kept).toBeGreaterThanOrEqual(0);
    expect(await page.$eval("#play", (e) => (e as HTMLButtonElement).disabled)).toBe(true);
    await page.click("#recover");
    await page.waitForSelector("#trouble", { hidden: true, timeout: SLOW });
    await stepAbove(kept);
    expect(await page.$eval("#play", (e) => e.textContent)).toBe("Pause");
  },
  3 * SLOW,
);

test(
  "everybody can use it: a phone, light and dark, a screen reader",
  async () => {
    await pause();
    expect(await overflowAt(seen.page, 375)).toBe(0);
    expect(await faults(seen.page, "light")).toEqual([]);
    expect(await faults(seen.page, "dark")).toEqual([]);
  },
  SLOW,
);

test("nothing went wrong, and nothing came from elsewhere", () => {
  expect(seen.troubles).toEqual([]);
  expect(seen.requests.length).toBeGreaterThan(5);
  expect(seen.requests.filter((url) => !url.startsWith(site.url))).toEqual([]);
});

test("without WebGPU the page says what to do in this browser", async () => {
  const { page, troubles } = await site.open();
  await page.evaluateOnNewDocument(() => {
    Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
  });
  await page.goto(`${site.url}index.html`);
  expect(await textOf(page, "main h1", /./)).toBe("This page needs WebGPU");
  expect(await page.$eval("main", (e) => e.textContent)).toMatch(/What to do in Chrome/);
  expect(await faults(page, "light")).toEqual([]);
  expect(troubles).toEqual([]);
  await page.close();
}, 60_000);
