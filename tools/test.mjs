// `npm test`: builds, finds or fetches an adapter and browsers, checks types and style, runs every test.
// The last line holds nothing but the count. A skipped test counts as a failed one.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepare } from "./prepare.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
process.env.NFGRAD_ADAPTER ||= "software";
const count = { passed: 0, failed: 0 };

function step(name, work) {
  console.log(`\n== ${name}`);
  const start = performance.now();
  let ok = false;
  try {
    ok = work() !== false;
  } catch (error) {
    console.error(error.message);
  }
  count[ok ? "passed" : "failed"] += 1;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`== ${name}: ${ok ? "ok" : "FAILED"} (${seconds} s)`);
}
const node = (script, ...args) =>
  spawnSync(process.execPath, [script, ...args], { stdio: "inherit" }).status === 0;

/** Adds vitest's own numbers; true if it said nothing else was wrong. */
function vitest() {
  const folder = mkdtempSync(join(tmpdir(), "nfgrad-test-"));
  const file = join(folder, "report.json");
  const args = ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const ok = node("node_modules/vitest/vitest.mjs", ...args, ...process.argv.slice(2));
  const report = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;
  rmSync(folder, { recursive: true });
  if (!report) return false;
  const { numTotalTests, numPassedTests, testResults } = report;
  const broken = testResults.filter(
    (r) => r.status === "failed" && r.assertionResults.length === 0,
  );
  const failed = numTotalTests - numPassedTests + broken.length;
  count.passed += numPassedTests;
  count.failed += failed;
  return numTotalTests > 0 && (ok || failed > 0);
}

let adapter = "none";
step("build", () => node("build.mjs"));
step("adapter", () => {
  adapter = prepare();
  console.log(adapter);
});
step("browsers", () => spawnSync("bash", ["tools/browsers.sh"], { stdio: "inherit" }).status === 0);
step("types", () => node("node_modules/typescript/bin/tsc", "-p", "."));
step("style", () => node("node_modules/@biomejs/biome/bin/biome", "check"));
step("package", () => node("tools/check-dist.mjs"));
step("vitest", vitest);
console.log(`\nadapter: ${adapter}`);
console.log(`${count.passed} passed, ${count.failed} failed`);
process.exitCode = count.failed > 0 ? 1 : 0;
