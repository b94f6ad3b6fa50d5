// First calls in child processes: with the driver's shader cache empty, then with what that left. Here, because a page
// can do neither.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Case } from "../../bench/case.ts";
import { coldAndWarm } from "../../bench/firstCalls.ts";
import type { Compiling, FirstCall } from "../../bench/row.ts";
import type { Progress } from "../../bench/run.ts";
import { DeviceError } from "../errors.ts";
import type { AdapterOptions } from "./adapter.ts";

/** Where drivers keep compiled shaders: Mesa's and NVIDIA's. Others have no setting, and are told by an empty folder. */
const cacheIn = (folder: string) => ({
  MESA_SHADER_CACHE_DIR: folder,
  MESA_SHADER_CACHE_DISABLE: "false",
  __GL_SHADER_DISK_CACHE: "1",
  __GL_SHADER_DISK_CACHE_PATH: folder,
});

/** `nfgrad bench --compile --json` of these cases in a process of its own. */
function child(
  names: readonly string[],
  { adapter, tuning }: AdapterOptions,
  folder: string,
): Promise<FirstCall[]> {
  const filter = `^(${names.map((name) => name.replace(/[^\w ]/g, "\\$&")).join("|")})$`;
  const command = [...process.execArgv, process.argv[1]!, "bench", "--compile", "--json"];
  const options = [
    ...(adapter ? ["--adapter", adapter] : []),
    ...(tuning ? ["--tuning", tuning] : []),
  ];
  const args = [...command, "--filter", filter, ...options];
  const run = spawn(process.execPath, args, { env: { ...process.env, ...cacheIn(folder) } });
  let [out, err] = ["", ""];
  run.stdout.on("data", (chunk) => (out += chunk));
  run.stderr.on("data", (chunk) => (err += chunk));
  return new Promise((resolve, reject) => {
    run.on("error", reject);
    run.on("close", (code) => {
      if (code === 0) resolve((JSON.parse(out) as { calls: FirstCall[] }).calls);
      else reject(new DeviceError(`bench --compile in a child process: ${err.trim() || code}`));
    });
  });
}

const bytesIn = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((n, { parentPath, name }) => n + statSync(join(parentPath, name)).size, 0);

/** What compiling costs the first call of each case. */
export async function coldAndWarmCalls(
  cases: readonly Case[],
  where: AdapterOptions,
  onProgress: (progress: Progress) => void,
): Promise<Compiling[]> {
  if (cases.length === 0) return [];
  const folder = mkdtempSync(join(tmpdir(), "nfgrad-bench-"));
  const names = cases.map(({ name }) => name);
  const tell = (part: number, name: string) =>
    onProgress({ done: 0, total: cases.length, part, name });
  try {
    tell(0, "compiling with an empty cache");
    const cold = await child(names, where, folder);
    const kept = bytesIn(folder) > 0;
    tell(0.9, "compiling again");
    const warm = await child(names, where, folder);
    return coldAndWarm(cold, warm, kept);
  } finally {
    tell(1, "");
    rmSync(folder, { recursive: true, force: true });
  }
}
