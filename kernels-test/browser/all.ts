// `npm run test:all`: the whole suite at every place, compared: each case must pass everywhere, and a page must give the
// bits of Node on the same driver. Writes its table into docs/numerics.md.
//
//   npm run test:all -- [--seed N] [--model NAME] [--steps N] [--filter PATTERN] [--only PLACE,PLACE] [--no-report]
//   npm run test:all -- --choose      chooses the small cases of `npm test` anew (small.json)
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withReport } from "../../bench/document.ts";
import { root } from "./browsers.ts";
import { type Bundle, bundle } from "./bundle.ts";
import { type Ran, type RunOptions, runAt, type Where } from "./run.ts";
import { choose, SMALL } from "./small.ts";
import type { Group, Result } from "./suite.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "0" },
    model: { type: "string", default: "tiny" },
    steps: { type: "string", default: "100" },
    filter: { type: "string" },
    only: { type: "string" },
    choose: { type: "boolean", default: false },
    "no-report": { type: "boolean", default: false },
  },
});
const GROUPS: readonly Group[] = ["cases", "core", "parity", "training"];
/** Seconds of one case: a network's pipelines take SwiftShader's compiler minutes. */
const LIMIT = 1800;
const DOCUMENT = join(root, "docs/numerics.md");

/** The columns. `like`: the page that Node shows itself as, and whose bits it must have. */
interface Column {
  readonly name: string;
  readonly where: Where;
  readonly like?: string;
}
const COLUMNS: readonly Column[] = [
  { name: "node-lavapipe", where: { driver: "lavapipe" } },
  { name: "node-default", where: { driver: "lavapipe", present: "default" } },
  { name: "firefox", where: { engine: "firefox" } },
  { name: "node-as-firefox", where: { driver: "lavapipe" }, like: "firefox" },
  { name: "chromium", where: { engine: "chromium" } },
  { name: "node-as-chromium", where: { driver: "swiftshader" }, like: "chromium" },
];
const TITLES: Readonly<Record<string, string>> = {
  "node-lavapipe": "Node, lavapipe",
  "node-default": "Node, lavapipe, default limits, no optional feature",
  firefox: "Firefox, lavapipe",
  "node-as-firefox": "Node, lavapipe, shown as Firefox's",
  chromium: "Chromium, SwiftShader",
  "node-as-chromium": "Node, SwiftShader, shown as Chromium's",
};

const options: RunOptions = {
  groups: GROUPS,
  seed: Number(values.seed),
  model: values.model,
  steps: Number(values.steps),
  limit: LIMIT,
  ...(values.filter && { filter: values.filter }),
};

async function runColumn({ name, where, like }: Column, made: Bundle, done: Map<string, Ran>) {
  const page = like && done.get(like);
  if (like && !page) throw new Error(`${name}: run ${like} with it`);
  const shown = page && "driver" in where ? { ...where, present: page.adapter } : where;
  const start = performance.now();
  const ran = await runAt(shown, made, {
    ...options,
    onResult: ({ name: of, error, ms }, n, all) => {
      const seconds = `${(ms / 1000).toFixed(1)} s`;
      if (error !== null) console.log(`${name} ${n}/${all} FAILED ${of} (${seconds})\n  ${error}`);
      else if (ms > 20_000 || n % 100 === 0) console.log(`${name} ${n}/${all} ${of} (${seconds})`);
    },
  });
  console.log(`${name}: ${Math.round((performance.now() - start) / 1000)} s`);
  done.set(name, ran);
}

const groupOf = (name: string): string => /^\w+/.exec(name)?.[0] ?? name;
const passed = ({ results }: Ran) => [...results.values()].filter((r) => r.error === null);

/** Cases of both whose bytes differ. */
function differing(a: Ran, b: Ran): Result[] {
  const both = [...a.results.values()].filter(({ name }) => b.results.has(name));
  return both.filter(({ name, digest }) => b.results.get(name)?.digest !== digest);
}

function table(done: ReadonlyMap<string, Ran>): string {
  const groups = [
    ...new Set([...done.values()].flatMap((r) => [...r.results.keys()].map(groupOf))),
  ];
  const cell = (ran: Ran, group: string) => {
    const of = [...ran.results.values()].filter((r) => groupOf(r.name) === group);
    return `${of.filter((r) => r.error === null).length}/${of.length}`;
  };
  const head = ["place", ...groups, "bits"];
  const rows = COLUMNS.flatMap(({ name, like }) => {
    const ran = done.get(name);
    if (!ran) return [];
    const page = like && done.get(like);
    const odd = page ? differing(page, ran).length : 0;
    const bits = page
      ? odd === 0
        ? `all ${TITLES[like]}'s`
        : `${odd} ${odd === 1 ? "case differs" : "cases differ"}`
      : "";
    return [[TITLES[name]!, ...groups.map((g) => cell(ran, g)), bits]];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** The greatest difference of sampled values of two runs of a case, in units of a read's greatest value. */
function distance(a: Result, b: Result): number {
  const reads = a.samples.map((sample, i) => {
    const other = b.samples[i] ?? [];
    const most = sample.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    const off = sample.reduce((m, v, at) => Math.max(m, Math.abs(v - (other[at] ?? v))), 0);
    return off === 0 ? 0 : off / most;
  });
  return Math.max(0, ...reads);
}

/** What two drivers do not agree about, by file: how many cases, and how far they are apart. */
function between(a: string, b: string, done: ReadonlyMap<string, Ran>): string {
  const [one, other] = [done.get(a), done.get(b)];
  if (!one || !other) return "";
  const files = new Map<string, { all: number; odd: number; most: number }>();
  for (const r of one.results.values()) {
    const twin = other.results.get(r.name);
    if (!twin) continue;
    const key = /^(?:(?:cases|core)\/(\w+)|parity: ([a-z]+)|(training: .*))/.exec(r.name);
    const name = key?.[1] ?? (key?.[2] ? `parity, ${key[2]}` : (key?.[3] ?? r.name));
    const of = files.get(name) ?? { all: 0, odd: 0, most: 0 };
    const odd = r.digest === twin.digest ? 0 : 1;
    const most = odd ? Math.max(of.most, distance(r, twin)) : of.most;
    files.set(name, { all: of.all + 1, odd: of.odd + odd, most });
  }
  const rows = [...files].filter(([, { odd }]) => odd > 0);
  return [
    `${TITLES[a]}, and ${TITLES[b]}: cases whose bits differ (each passes on both), and the greatest difference of`,
    "sampled values, in units of the greatest value beside them.",
    "",
    "| cases | differ | by |",
    "| --- | --- | --- |",
    ...rows.map(
      ([n, { all, odd, most }]) => `| ${n} | ${odd} of ${all} | ${most.toExponential(1)} |`,
    ),
  ].join("\n");
}

/** A part of the matrix is no table for the document. */
const reports = !values["no-report"] && !values.choose && !values.only && !values.filter;
const documentWith = (body: string): string =>
  withReport(readFileSync(DOCUMENT, "utf8"), body, DOCUMENT, "matrix");
if (reports) documentWith(""); // before hours of work: are its marks there?

const made = await bundle();
const done = new Map<string, Ran>();
const wanted = values.choose ? ["node-lavapipe"] : values.only?.split(",");
process.once("SIGTERM", () => process.exit(143)); // a browser's own handler would only restart it
let broken = 0;
try {
  for (const column of COLUMNS) {
    if (wanted && !wanted.includes(column.name)) continue;
    await runColumn(column, made, done).catch((error: unknown) => {
      broken += 1;
      console.log(`${column.name} FAILED: ${error}`);
    });
  }
} finally {
  made.remove();
}
const all = [...done.values()].flatMap((ran) => [...ran.results.values()]);
let failed = broken + all.filter((r) => r.error !== null).length;
for (const { name, like } of COLUMNS) {
  const [page, node] = [like && done.get(like), done.get(name)];
  for (const { name: of } of page && node ? differing(page, node) : []) {
    failed += 1;
    console.log(`FAILED ${of}: ${name} and ${like} give other bits`);
  }
}
if (values.choose) {
  const chosen = choose(all.filter(({ name }) => name.startsWith("cases/")));
  writeFileSync(SMALL, `${JSON.stringify(chosen, null, 2)}\n`);
  console.log(`${chosen.length} small cases in ${SMALL}`);
}
const drivers = between("node-as-firefox", "node-as-chromium", done);
const what = `${values.steps} steps of training: model ${values.model}, seed ${values.seed}.`;
const report = [table(done), what, drivers].filter(Boolean).join("\n\n");
console.log(`\n${report}\n`);
if (reports) writeFileSync(DOCUMENT, documentWith(report));
console.log(
  `${[...done.values()].reduce((n, r) => n + passed(r).length, 0)} passed, ${failed} failed`,
);
process.exitCode = failed > 0 || all.length === 0 ? 1 : 0;
