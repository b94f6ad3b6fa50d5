// The page "Measure": the benchmark and the parity suites run in a worker, their tables fill here.
import type * as bench from "../../bench/index.ts";
import type * as parity from "../../parity/index.ts";
import { byId, h } from "../common/dom.ts";
import { isLost } from "../common/lost.ts";
import { webgpuOrHelp } from "../common/noWebgpu.ts";
import { type Connection, connect } from "../common/rpc.ts";
import { announce, shell } from "../common/shell.ts";
import type { Choice, Events, Handlers } from "./messages.ts";
import { open, showOutcome, showProgress } from "./suite.ts";
import { exactTable, speedRows } from "./table.ts";

let worker: Worker | null = null;
let engine: Connection<Handlers, Events>;
let choice: Choice = { quick: [], all: [], parity: [] };
let times: bench.Row[] = [];
let judged: parity.Progress[] = [];

const show = (id: string, words: string): void => {
  byId(id, HTMLElement).textContent = words;
};

function showTimes(rows: readonly bench.Row[]): void {
  byId("speed-rows", HTMLElement).replaceChildren(...speedRows(rows));
  byId("speed-scroll", HTMLElement).hidden = rows.length === 0;
}

function showJudged(): void {
  byId("exact-rows", HTMLElement).replaceChildren(...exactTable(judged));
  byId("exact-scroll", HTMLElement).hidden = judged.length === 0;
}

const few = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));

function showPeak({ peak }: bench.Report): void {
  const { gflops, copyGBs, form, copyForm } = peak;
  const fill = (id: string, value: string, how: string) =>
    byId(id, HTMLElement).replaceChildren(value, h("small", {}, how));
  fill("peak-flops", `${few(gflops)} GFLOP/s`, form);
  fill("peak-copy", `${few(copyGBs)} GB/s`, copyForm);
}

/** An SVG file's text as an element; it has no scripts and no styles. */
function showPlot(svg: string | null): void {
  const plot = byId("plot", HTMLElement);
  plot.hidden = svg === null;
  if (svg === null) return;
  const { documentElement } = new DOMParser().parseFromString(svg, "image/svg+xml");
  plot.replaceChildren(document.adoptNode(documentElement));
}

/** Says under the heading how many cases the controls choose. */
function showChosen(): void {
  const quick = byId("set", HTMLSelectElement).value === "quick";
  const names = quick ? choice.quick : choice.all;
  const filter = byId("filter", HTMLInputElement).value;
  let count: number;
  try {
    const matches = new RegExp(filter, "i");
    count = names.filter((name) => matches.test(name)).length;
  } catch {
    count = 0;
  }
  show("speed-about", `${count} of ${choice.all.length} cases`);
}

async function runSpeed(): Promise<void> {
  times = [];
  showTimes(times);
  showPlot(null);
  showProgress("speed", 0, "Measuring the adapter’s own peak");
  announce("Measuring");
  const quick = byId("set", HTMLSelectElement).value === "quick";
  const { report, json, plot } = await engine.call.bench(
    byId("filter", HTMLInputElement).value.trim(),
    quick,
  );
  const { rows, method } = report;
  showTimes(rows);
  showPeak(report);
  showPlot(plot);
  const right = rows.filter(({ failed }) => failed === undefined).length;
  const words =
    rows.length === 0
      ? "Stopped before the first cases were done."
      : `${right} of ${rows.length} cases verified and timed in ${Math.round(method.seconds)} s: medians of up to ` +
        `${method.rounds} rounds; percentages are of the peak that was measured in between.`;
  showOutcome("speed", words, json);
}

async function runExact(): Promise<void> {
  judged = [];
  showJudged();
  announce("Comparing");
  const category = byId("category", HTMLSelectElement).value;
  const { json, text } = await engine.call.parity(category && `^${category}`);
  showOutcome("exact", text, json);
}

const lost = (error: unknown): boolean => isLost(error, () => void start());

/** A worker, and what it can do. */
async function start(): Promise<void> {
  worker?.terminate();
  worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  engine = connect<Handlers, Events>(worker);
  engine.on("benching", ({ done, total, part, name }) =>
    showProgress("speed", part, `${done} of ${total}  ${name}`),
  );
  engine.on("rows", (rows) => {
    times.push(...rows);
    showTimes(times);
  });
  engine.on("judging", (progress) => {
    judged.push(progress);
    showJudged();
    showProgress(
      "exact",
      progress.done / progress.total,
      `${progress.done} of ${progress.total}  ${progress.case}`,
    );
  });
  try {
    const { name, driver, software, timestamps } = await engine.call.open();
    const about = [driver, software ? "software, on the CPU" : ""].filter(Boolean).join("; ");
    byId("adapter-name", HTMLElement).replaceChildren(
      name,
      ...(about ? [h("small", {}, about)] : []),
    );
    show("adapter-clock", timestamps ? "GPU timestamps" : "this page’s clock");
    choice = await engine.call.choice();
    const total = choice.parity.reduce((n, { cases }) => n + cases, 0);
    byId("category", HTMLSelectElement).replaceChildren(
      h("option", { value: "" }, `Everything (${total} cases)`),
      ...choice.parity.map(({ category, cases }) =>
        h("option", { value: category }, `${category} (${cases})`),
      ),
    );
    show("exact-about", `${total} cases from JAX`);
    showChosen();
  } catch (error) {
    if (!lost(error)) show("adapter-name", error instanceof Error ? error.message : String(error));
  }
}

shell("measure");
if (await webgpuOrHelp(byId("main", HTMLElement))) {
  const stop = () => void engine.call.stop();
  open({ name: "speed", run: runSpeed, stop, handled: lost });
  open({ name: "exact", run: runExact, stop, handled: lost });
  byId("set", HTMLSelectElement).addEventListener("change", showChosen);
  byId("filter", HTMLInputElement).addEventListener("input", showChosen);
  await start();
}
