// The page "Measure" in headless Chromium: both suites run in the tab, tables fill, reports can be read again.
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readReport } from "../bench/index.ts";
import {
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
  await seen.page.evaluateOnNewDocument(() => {
    navigator.clipboard.writeText = async (text) => {
      document.documentElement.dataset.copied = text;
    };
  });
  await seen.page.goto(`${site.url}measure.html`);
});
afterAll(() => site?.close());

const textsOf = (selector: string) =>
  seen.page.$$eval(selector, (all) => all.map((e) => e.textContent ?? ""));
async function filterBy(text: string): Promise<void> {
  await seen.page.$eval("#filter", (e) => {
    (e as HTMLInputElement).value = "";
  });
  await seen.page.type("#filter", text);
}
/** Presses "Run" or "Compare" and waits for the end. */
async function runs(suite: "speed" | "exact", during?: () => Promise<void>): Promise<void> {
  await seen.page.click(`#${suite}-run`);
  await during?.();
  await seen.page.waitForSelector(`#${suite}-run:not(:disabled)`, { timeout: 150_000 });
}
async function copied(suite: "speed" | "exact"): Promise<string> {
  await seen.page.click(`#${suite}-copy`);
  await textOf(seen.page, `#${suite}-copy`, /^Copied$/);
  return seen.page.evaluate(() => document.documentElement.dataset.copied ?? "");
}

test("the adapter is named, and the controls say what they choose", async () => {
  const { page } = seen;
  expect(await textOf(page, "#adapter-name", /swift/i)).toMatch(/software/);
  const [, quick, all] = /^(\d+) of (\d+) cases$/.exec(await textOf(page, "#speed-about", /\d/))!;
  expect(Number(quick)).toBeGreaterThan(10);
  expect(Number(all)).toBeGreaterThan(Number(quick));
  await filterBy("^residual 8x24x24x512 forward$|^softmax 1024x1000$");
  expect(await textOf(page, "#speed-about", /^2 of/)).toBe(`2 of ${all} cases`);
});

test("benchmark cases are verified and timed, and the report can be read again", async () => {
  const { page } = seen;
  await runs("speed");
  const rows = await textsOf("#speed-rows tr:not(.family)");
  expect(rows).toHaveLength(2);
  for (const row of rows) expect(row).toMatch(/✓ \d+ % of bound/);
  expect(await page.$$eval("#speed-rows .failed", (all) => all.length)).toBe(0);
  const report = readReport(await copied("speed"), "report");
  expect(report.rows.map(({ name }) => name)).toEqual([
    "residual 8x24x24x512 forward",
    "softmax 1024x1000",
  ]);
  for (const { error, time } of report.rows) {
    expect(error).toBeLessThanOrEqual(1);
    expect(time!.median).toBeGreaterThan(0);
    expect(time!.percentOfCopy).toBeGreaterThan(0);
  }
  expect(report.versions).toMatchObject({ nfgrad: expect.stringMatching(/^\d/) });
  expect(await textOf(page, "#peak-flops", /GFLOP/)).toMatch(/^[\d.]+ GFLOP\/s/);
  expect(await page.$$eval("#plot .dot", (all) => all.length)).toBe(2);
});

test("a filter that is wrong or matches nothing is an error", async () => {
  await filterBy("(");
  await runs("speed");
  expect(await textOf(seen.page, "#speed-error", /./)).toMatch(/no regular expression/);
  await filterBy("no such case");
  await runs("speed");
  expect(await textOf(seen.page, "#speed-error", /match/)).toBe("no case matches 'no such case'");
});

test("a category of JAX's outputs passes, row by row", async () => {
  const { page } = seen;
  await page.select("#category", "modules");
  await runs("exact");
  const rows = await textsOf("#exact-rows tr:not(.family)");
  expect(rows.length).toBeGreaterThan(20);
  for (const row of rows) expect(row).toContain("✓");
  const { summary, adapter } = JSON.parse(await copied("exact"));
  expect(summary).toMatchObject({ cases: rows.length, failed: 0 });
  expect(adapter).toMatch(/swiftshader.*\(software\)/i);
});

test("a run can be stopped: the report has what was done", async () => {
  const { page } = seen;
  await page.select("#category", "");
  await runs("exact", async () => {
    await page.waitForFunction(() => document.querySelectorAll("#exact-rows tr").length > 3);
    await page.click("#exact-stop");
  });
  const { summary } = JSON.parse(await copied("exact"));
  expect(summary.cases).toBeGreaterThan(1);
  expect(summary.cases).toBeLessThan(100);
  expect(summary.failed).toBe(0);
});

test("no serious fault in light and dark, and it fits a phone", async () => {
  const { page } = seen;
  expect(await overflowAt(page, 360)).toBeLessThanOrEqual(0);
  expect([...(await faults(page, "light")), ...(await faults(page, "dark"))]).toEqual([]);
});

test("a lost device is told, and the page starts again", async () => {
  const { page } = seen;
  await page.select("#category", "groups");
  await filterBy("^softmax");
  await loseDevice(page);
  await runs("speed");
  expect(await textOf(page, ".message.lost", /gone/)).toMatch(/the device was lost/);
  await page.click(".message.lost button");
  await runs("exact");
  expect(await textOf(page, "#exact-summary", /pass/)).toMatch(/ 0 fail/);
});

test("nothing breaks the policy, and nothing is asked of another host", () => {
  expect(seen.troubles).toEqual([]);
  expect(seen.requests.some((url) => url.endsWith("golden/manifest.json"))).toBe(true);
  expect(
    seen.requests.filter((url) => !url.startsWith(site.url) && !url.startsWith("blob:")),
  ).toEqual([]);
});
