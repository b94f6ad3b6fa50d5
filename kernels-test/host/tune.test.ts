// `nfgrad tune` and `--tuning`: a file that is written, taken, and refused where it is damaged.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { type Command, read } from "../../src/cli/args.ts";
import { info } from "../../src/cli/info.ts";
import { tune, tuningTable } from "../../src/cli/tune.ts";
import { FormatError, OptionError, tuning } from "../../src/index.ts";
import { adapter } from "../gpu.ts";

const folder = mkdtempSync(join(tmpdir(), "nfgrad-tune-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());
const file = (name: string) => join(folder, name);

/** Runs a command as from the command line; gives what it printed. */
async function cli(command: Command, ...args: string[]): Promise<string> {
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line) => void lines.push(String(line)));
  const { values, operands } = read(command, [...args, "--adapter", adapter]);
  await command.run(values, operands).finally(() => log.mockRestore());
  return lines.join("\n");
}

test("what tune writes is taken by other commands, and damage is refused with the file's name", async () => {
  const [out, json] = [file("t.json"), file("all.json")];
  const filter = "^conv2d 3x3 32x32 16>32 forward$";
  const text = await cli(tune, "--quick", "--filter", filter, "--out", out, "--json", json);
  expect(text).toMatch(/^adapter: .*\nproduct +default +chosen +ratio\nforward 32x32x16>32x32x32 /);
  expect(text).toContain(`1 products: ${out}`);
  const table = tuning.parse(JSON.parse(readFileSync(out, "utf8")));
  const report = JSON.parse(readFileSync(json, "utf8"));
  expect(report.adapter).toEqual(table.adapter);
  expect(report.products[0].chosen.variant).toBe(table.products[0]!.variant);
  expect(report.products[0].tried.length).toBeGreaterThan(3);
  expect(readdirSync(folder).sort()).toEqual(["all.json", "t.json"]); // nothing half-written

  expect(await cli(info, "--tuning", out)).toContain("adapter: ");
  const refused = async (name: string, content: string, message: RegExp) => {
    writeFileSync(file(name), content);
    const failed = cli(info, "--tuning", file(name));
    await expect(failed).rejects.toThrow(FormatError);
    await expect(failed).rejects.toThrow(message);
  };
  await refused("cut.json", readFileSync(out, "utf8").slice(0, -9), /cut\.json: .*JSON/);
  await refused(
    "new.json",
    JSON.stringify({ ...table, version: 2 }),
    /new\.json: .*version 1, got 2/,
  );
  const other = { ...table, adapter: { ...table.adapter, vendor: "acme" } };
  await refused(
    "other.json",
    JSON.stringify(other),
    /other\.json: tuning: the table is for vendor "acme"/,
  );
}, 120_000);

test("what cannot be done is said before anything is tried", async () => {
  const out = file("never.json");
  const refused = async (message: RegExp, ...args: string[]) => {
    await expect(cli(tune, ...args)).rejects.toThrow(OptionError);
    await expect(cli(tune, ...args)).rejects.toThrow(message);
  };
  await refused(/no case of nfgrad bench matches --filter 'zzz'/, "--filter", "zzz", "--out", out);
  await refused(/--filter: Invalid regular expression/, "--filter", "(", "--out", out);
  await refused(/--out: there is no folder/, "--out", join(folder, "no/t.json"));
  await refused(/run no products/, "--quick", "--filter", "^softmax", "--out", out);
  expect(existsSync(out)).toBe(false);
});

test("the table names what was chosen, and what failed", () => {
  const usual = { variant: "lanes a", splits: 1, error: 0.1, ratio: 1 };
  const better = { variant: "lanes b", splits: 2, error: 0.2, ratio: 1.25 };
  const bad = { variant: "tile c", splits: 1, error: 9, failed: "wrong values" };
  const rest = { default: usual, tried: [usual, better, bad] };
  const text = tuningTable([
    { product: "forward x", batch: 1, ...rest, chosen: usual },
    { product: "data y", batch: 8, ...rest, tried: [usual], chosen: better },
    { product: "weight z", batch: 1, default: bad, tried: [bad], chosen: null },
  ]);
  expect(text.split("\n")).toEqual([
    "product    default  chosen            ratio",
    "forward x  lanes a  =                 1.00",
    "data y n8  lanes a  lanes b /2        1.25",
    "weight z   tile c   nothing is right",
    "FAILED: tile c for forward x: wrong values",
    "FAILED: tile c for weight z: wrong values",
  ]);
});
