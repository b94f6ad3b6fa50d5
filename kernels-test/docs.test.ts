// The documents tell the truth: every ts block of README.md and docs/*.md is type-checked and executed as one program a
// document (docs.ts says how), links lead somewhere, and shell blocks use commands that exist.
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { documents, programs, root, shellLines, typeErrors, writePrograms } from "./docs.ts";
import { adapter } from "./gpu.ts";

const run = promisify(execFile);
const all = programs(documents());

describe("documents", () => {
  let errors = "";
  beforeAll(async () => {
    await writePrograms(all);
    errors = await typeErrors();
  }, 120_000);

  for (const program of all) {
    test(`${program.name} type-checks`, () => {
      expect(errors.split("\n").filter((line) => line.includes(program.file))).toEqual([]);
    });
    if (program.runs)
      test(`${program.name} runs`, async () => {
        const env = { ...process.env, NFGRAD_ADAPTER: adapter };
        await run(process.execPath, ["--enable-source-maps", program.bundle], {
          env,
          cwd: dirname(program.bundle),
          timeout: 170_000,
        }).catch((e: { stderr: string; message: string }) => {
          throw new Error(`${program.name} failed:\n${e.stderr || e.message}`);
        });
      }, 180_000);
  }
});

describe("shell commands in documents", () => {
  const scripts = Object.keys(
    JSON.parse(readFileSync(join(root, "package.json"), "utf8")).scripts ?? {},
  );
  const known =
    /^(cd|git clone|export \w+=|eval|#|NFGRAD_\w+=\S+ |npm (ci|install|i|test|pack|publish)\b|python3 -m venv |venv\/bin\/pip install )/;
  const commands = existsSync(join(root, "src/cli/main.ts"))
    ? readFileSync(join(root, "src/cli/main.ts"), "utf8")
    : "";
  for (const { document, line } of shellLines(documents()))
    test(`${document}: ${line}`, () => {
      const plain = line.replace(/^(NFGRAD_\w+=\S+ )+/, "");
      const script = /^npm run ([\w:-]+)/.exec(plain)?.[1];
      if (script) return expect(scripts).toContain(script);
      const command = /^(?:npx )?nfgrad ([\w-]+)/.exec(plain)?.[1];
      if (command) return expect(commands).toContain(command);
      const file = /^(?:bash|sh|node|npx vitest run|npx tsx|venv\/bin\/python) ([\w./-]+)/.exec(
        plain,
      )?.[1];
      if (file) return expect(existsSync(join(root, file)), file).toBe(true);
      expect(plain).toMatch(known);
    });
});

describe("links in documents", () => {
  for (const { name, text } of documents())
    test(name, () => {
      const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)].map(
        (m) => m[1]!,
      );
      expect(links.filter((link) => !existsSync(join(root, dirname(name), link)))).toEqual([]);
    });
});
