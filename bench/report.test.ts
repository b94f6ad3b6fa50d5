// What is made of rows: comparisons, texts and documents. Runs nothing on a device.
import { describe, expect, test } from "vitest";
import { FormatError } from "../src/index.ts";
import { withReport } from "./document.ts";
import { coldAndWarm, oneOfEach } from "./firstCalls.ts";
import * as bench from "./index.ts";
import { failing, peak, report, row } from "./testing.ts";

describe("compare", () => {
  const before = report([
    row("a steady", { median: 0.01, spread: 0.001 }),
    row("a faster", { median: 0.02, spread: 0.001 }),
    row("a slower", { median: 0.01, spread: 0.0005 }),
    row("b noisy", { median: 0.02, spread: 0.03 }),
    row("b gone", { median: 1 }),
  ]);
  const after = report([
    row("a steady", { median: 0.0095, spread: 0.001 }),
    row("a faster", { median: 0.01, spread: 0.001, min: 0.008 }),
    row("a slower", { median: 0.02, spread: 0.0005 }),
    row("b noisy", { median: 0.01, spread: 0.01 }),
    row("b new", { median: 1 }),
    failing("b broken"),
  ]);
  const found = bench.compare(before, after);

  test("what moved beyond its spread is marked, the rest is not", () => {
    expect(found.changes.map(({ name, verdict }) => [name, verdict])).toEqual([
      ["a steady", "same"],
      ["a faster", "faster"],
      ["a slower", "slower"],
      ["b noisy", "same"],
    ]);
    const faster = found.changes[1]!;
    const part = Math.hypot(0.05, 0.1);
    expect(faster).toMatchObject({ ratio: 2, before: 0.02, after: 0.01, ratioMin: 2.5 });
    expect(faster.low).toBeCloseTo(2 / (1 + part), 12);
    expect(faster.high).toBeCloseTo(2 * (1 + part), 12);
    expect(found.onlyBefore).toEqual(["b gone"]);
    expect(found.onlyAfter).toEqual(["b new"]);
    expect(found.warnings).toEqual([]);
  });

  test("a run beside itself has not moved, with or without spread", () => {
    const same = bench.compare(after, after);
    expect(same.changes.map(({ ratio, verdict }) => [ratio, verdict])).toEqual(
      same.changes.map(() => [1, "same"]),
    );
    expect(bench.comparisonTable(bench.compare(report([]), after))).toMatch(/no case has a time/);
  });

  test("another adapter, driver, peak or kind of run is a warning", () => {
    const adapter = { ...after.adapter, description: "chop: driver 1" };
    const warnings = (changed: Partial<bench.Report>) =>
      bench.compare(before, { ...after, ...changed }).warnings;
    expect(warnings({ adapter })).toEqual(["the adapters differ: chip, now chop"]);
    expect(warnings({ adapter: { ...adapter, description: "chip: driver 2" } })).toEqual([
      "the drivers differ: driver 1, now driver 2",
    ]);
    expect(warnings({ peak: { ...peak, gflops: 80 } })).toEqual([
      expect.stringMatching(/multiply-add peak is x0.80 what it was/),
    ]);
    expect(warnings({ peak: { ...peak, copyGBs: 10.5 } })).toEqual([]);
    expect(warnings({ method: { ...after.method, quick: true } })).toEqual([
      "a full run, now a quick run",
    ]);
  });

  test("the table says ratio, range and verdict; Markdown the same", () => {
    const text = bench.comparisonTable(found);
    expect(text).toMatch(/a faster\s+20\.0\s+10\.0\s+x2\.00\s+1\.80\s+2\.22\s+x2\.50\s+faster/);
    expect(text).toMatch(/1 faster, 1 slower, 2 within their spread/);
    expect(text).not.toMatch(/WARNING/);
    expect(bench.comparisonMarkdown(found)).toMatch(/^\| a slower \|.*\| slower \|$/m);
  });
});

describe("readReport", () => {
  const good = report([row("a b", { median: 1 }), failing("a c")]);

  test("what toJson wrote", () => {
    expect(bench.readReport(bench.toJson(good), "f")).toEqual(good);
  });

  const without = (key: string) => JSON.stringify({ ...good, [key]: undefined });
  const withRow = (changed: object) =>
    JSON.stringify({ ...good, rows: [{ ...good.rows[0], ...changed }] });
  test.each([
    ["", /JSON/],
    ["[]", /the file is no object/],
    ["null", /the file is no object/],
    ['{"adapter":"x","peak":{"gflops":1,"copyGBs":1},"rows":[]}', /its format is missing, not 1/],
    [JSON.stringify({ ...good, format: 2 }), /its format is 2, not 1/],
    [without("adapter"), /adapter is no object/],
    [without("peak"), /peak is no object/],
    [without("method"), /method is no object/],
    [without("rows"), /rows is no list/],
    [JSON.stringify({ ...good, peak: { gflops: 0, copyGBs: 1 } }), /peak.gflops is not above 0/],
    [withRow({ name: 3 }), /rows\[0\].name is no string/],
    [withRow({ time: undefined }), /rows\[0\].time is no object/],
    [withRow({ time: { median: 1, min: 1 } }), /rows\[0\].time.spread is missing/],
    [withRow({ time: { median: -1, min: 1, spread: 0 } }), /time.median is not above 0/],
    [withRow({ time: { median: 1, min: 1, spread: -1 } }), /time.spread is negative/],
  ])("%s", (text, why) => {
    const call = () => bench.readReport(text, "old.json");
    expect(call).toThrow(FormatError);
    expect(call).toThrow(why);
    expect(call).toThrow(/^old.json: expected a report of nfgrad bench --json/);
  });
});

describe("texts", () => {
  const rows = [
    row("conv2d 1x1", { median: 0.02 }),
    failing("conv2d 3x3"),
    row("sum 4M", { median: 0.01, flops: 0 }),
  ];
  const whole = report(rows, {
    compiling: [{ name: "conv2d 1x1", pipelines: 2, cold: null, warm: 0.5 }],
  });

  test("the table: families, percents of the peak, the kernel, and what failed", () => {
    const text = bench.table(rows);
    expect(text).toMatch(
      /^conv2d\n {2}1x1 +20\.0 +20\.0 +0% +50\.0 +50% +0\.50 +5% +3\.00 +1 {2}conv2d lanes/m,
    );
    expect(text).toMatch(/^ {2}3x3 {2}FAILED: wrong values/m);
    expect(text).toMatch(/^sum\n {2}4M/m);
    expect(text).not.toMatch(/vs plain/);
    const beside = { median: 0.05, min: 0.05, spread: 0, dispatches: 3, ratio: 2.5 };
    expect(bench.table([{ ...rows[0]!, reference: beside }])).toMatch(/vs plain[\s\S]*x2\.50/);
  });

  test("a narrow table keeps its lines within the width, a wide one has all columns", () => {
    const wide = bench.table(rows);
    for (const width of [60, 80, 100, 130]) {
      const lines = bench.table(rows, { width }).split("\n");
      expect(lines.filter((l) => l.length > width && !l.includes("FAILED"))).toEqual([]);
      expect(lines[0]).toMatch(/median ms/);
    }
    expect(bench.table(rows, { width: 500 })).toBe(wide);
    expect(wide.split("\n")[0]).toMatch(/MiB/);
    expect(bench.table(rows, { width: 80 }).split("\n")[0]).not.toMatch(/MiB/);
  });

  test("Markdown: who, how, a table a family, compiling", () => {
    const text = bench.markdown(whole);
    expect(text).toMatch(/^- adapter: chip \(hardware\)$/m);
    expect(text).toMatch(/^- driver: driver 1$/m);
    expect(text).toMatch(/^- versions: nfgrad 9\.9\.9$/m);
    expect(text).toMatch(/^- date: 2030-01-02 03:04 UTC$/m);
    expect(text).toMatch(/^- peak: 100 GFLOP\/s/m);
    expect(text).toMatch(/^- FAILED: conv2d 3x3: wrong values/m);
    expect(text).toMatch(/^#### conv2d$/m);
    expect(text).toMatch(/^\| conv2d 1x1 \| 2 \| unknown \| 0\.50 \|$/m);
    const widths = text
      .split("\n")
      .filter((l) => l.startsWith("|"))
      .map((l) => l.split("|").length);
    expect(new Set(widths).size).toBe(2); // the cases' columns and those of compiling
  });

  test("a document keeps what is around its marks; one without marks is left alone", () => {
    const fresh = withReport(null, "one", "d.md");
    expect(fresh).toMatch(/# nfgrad bench[\s\S]*one/);
    const again = withReport(`before\n${fresh}after\n`, "two", "d.md");
    expect(again).toMatch(/^before\n[\s\S]*two[\s\S]*after\n$/);
    expect(again).not.toMatch(/one/);
    expect(() => withReport("# a text", "x", "d.md")).toThrow(FormatError);
    const both = `<!-- peers: begin -->\nold\n<!-- peers: end -->\n${fresh}`;
    const peers = withReport(both, "new", "d.md", "peers");
    expect(peers).toBe(`<!-- peers: begin -->\n\nnew\n<!-- peers: end -->\n${fresh}`);
  });

  test("compile times: cold beside warm, unknown where no cache was left", () => {
    const first = (seconds: number) => [{ name: "a", pipelines: 2, seconds }];
    expect(coldAndWarm(first(3), first(1), true)).toEqual([
      { name: "a", pipelines: 2, cold: 3, warm: 1 },
    ]);
    expect(coldAndWarm(first(3), first(1), false)[0]!.cold).toBeNull();
    const families = oneOfEach(bench.cases()).map(({ name }) => name.split(" ")[0]);
    expect(new Set(families).size).toBe(families.length);
    expect(families).toContain("matmul");
  });
});
