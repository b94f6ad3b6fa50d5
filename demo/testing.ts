// Opens the built pages in headless Chromium for the tests, and watches what they must not do.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, openBrowser, type Page } from "../kernels-test/browser/browsers.ts";
import { serve } from "../tools/serve.mjs";
import { buildPages } from "./build.mjs";

export interface Watched {
  readonly page: Page;
  /** Violations of the Content-Security-Policy, uncaught errors, errors on the console. */
  readonly troubles: readonly string[];
  /** Addresses that the page and its workers asked for. */
  readonly requests: readonly string[];
}

export interface Site {
  readonly url: string;
  readonly browser: Browser;
  /** A page that nothing is loaded in yet. */
  open(): Promise<Watched>;
  close(): Promise<void>;
}

/** Builds all pages into a folder of their own, serves them, opens a browser. */
export async function openSite(): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), "nfgrad-demo-"));
  const server = await serve(await buildPages(folder));
  const browser = await openBrowser("chromium");
  return {
    url: server.url,
    browser,
    open: async () => watched(await browser.newPage()),
    async close() {
      await browser.close();
      await server.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function watched(page: Page): Promise<Watched> {
  const troubles: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => troubles.push(`uncaught: ${(error as Error).message}`));
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => requests.push(request.url()));
  page.on("workercreated", async ({ client }) => {
    client.on("Network.requestWillBeSent", ({ request }) => requests.push(request.url));
    await client.send("Network.enable").catch(() => {}); // a worker that has ended already
  });
  await page.evaluateOnNewDocument(() => {
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  return { page, troubles, requests };
}

/** Faults that axe-core calls serious or critical, in words. */
export async function faults(page: Page, theme: "light" | "dark"): Promise<string[]> {
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run(),
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${theme}: ${id}: ${nodes.map(({ target }) => target).join(", ")}`);
}

/** How far the page is wider than a phone of this width. */
export async function overflowAt(page: Page, width: number): Promise<number> {
  const before = page.viewport();
  await page.setViewport({ width, height: 780 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.setViewport(before);
  return wide - width;
}

/** Takes the device of the page's worker away, with its next commands; one that is opened later stays. */
export async function loseDevice(page: Page): Promise<void> {
  const [worker] = page.workers().slice(-1);
  if (!worker) throw new Error("the page has no worker");
  await worker.evaluate(() => {
    const create = GPUDevice.prototype.createCommandEncoder;
    GPUDevice.prototype.createCommandEncoder = function (...given) {
      GPUDevice.prototype.createCommandEncoder = create;
      this.destroy();
      return create.apply(this, given);
    };
  });
}

/** Drops a file on an element. */
export async function drop(page: Page, selector: string, name: string, bytes: Uint8Array) {
  await page.$eval(
    selector,
    (element, name, bytes) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(bytes)], name));
      const options = { dataTransfer, bubbles: true, cancelable: true };
      for (const type of ["dragover", "drop"]) element.dispatchEvent(new DragEvent(type, options));
    },
    name,
    Array.from(bytes),
  );
}

/** Waits until an element's text matches. */
export async function textOf(page: Page, selector: string, matches: RegExp, timeout = 150_000) {
  await page.waitForFunction(
    (selector: string, source: string) =>
      new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
    { timeout, polling: 50 },
    selector,
    matches.source,
  );
  return page.$eval(selector, (element) => element.textContent ?? "");
}
