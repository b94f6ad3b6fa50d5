// The options of `nfgrad bench`: what is wrong is found before an adapter is opened.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { read } from "../src/cli/args.ts";
import { bench as command } from "../src/cli/bench.ts";
import { FormatError, OptionError } from "../src/index.ts";

describe("nfgrad bench finds what is wrong before it opens an adapter", () => {
  const folder = mkdtempSync(join(tmpdir(), "nfgrad-bench-test-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const at = (name: string) => join(folder, name);
  writeFileSync(at("other.json"), '{"rows": []}');
  writeFileSync(at("text.md"), "# mine\n");
  const matmul = ["--filter", "^matmul"];
  const cli = async (...args: string[]) => {
    const { values, operands } = read(command, args);
    await command.run(values as never, operands);
  };
  test.each([
    [["--filter", "("], OptionError, /--filter: Invalid regular expression/],
    [["--filter", "^nothing$"], OptionError, /no case matches --filter '\^nothing\$'/],
    [["--against", "x"], OptionError, /--against expects reference, got 'x'/],
    [["--quick=1"], OptionError, /--quick takes no value/],
    [["--json", at("no/a.json")], OptionError, /--json: there is no folder/],
    [["--json", folder], OptionError, /--json: .* is a folder/],
    [["--roofline", at("no/a.svg")], OptionError, /--roofline: there is no folder/],
    [["--markdown", at("no/a.md")], OptionError, /--markdown: there is no folder/],
    [["--markdown", at("text.md")], FormatError, /text.md: it exists, and has no lines/],
    [["--compare", at("none.json")], FormatError, /none.json: no such file/],
    [["--compare", at("other.json")], FormatError, /other.json: expected a report/],
    [["--compile", "--compare", at("x")], OptionError, /--compile .* --compare/],
    [["--compile", "--roofline", at("x")], OptionError, /--compile .* --roofline/],
  ])("%j", async (args, type, message) => {
    const failed = cli(...(args[0] === "--filter" ? [] : matmul), ...args);
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.toBeInstanceOf(type);
    expect(readFileSync(at("text.md"), "utf8")).toBe("# mine\n");
  });
});
