// Compiles kernels for AMD chips that are not there: finds RADV and a C compiler, starts a process for each chip family
// (a driver reads its environment when it is loaded) and cuts what the driver prints into kernels.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { readShader, type Shader } from "./aco.ts";

/** What the compiler is given of a kernel. */
export type Job = Pick<Kernel, "label" | "code" | "entry" | "constants">;
export interface Compiled {
  readonly family: string;
  /** As Dawn names it: "radv: Mesa 25.0.7". */
  readonly driver: string;
  /** One of each job, in their order. */
  readonly shaders: readonly Shader[];
}

const tools = join(process.cwd(), "tools");
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "nfgrad-shader-stats");

/** The environment in which RADV pretends to be a chip of that family. */
function environment(family: string): NodeJS.ProcessEnv {
  mkdirSync(cache, { recursive: true });
  const { manifest, library } = radv();
  const path = [dirname(library), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  return {
    ...process.env,
    NFGRAD_ADAPTER: "hardware",
    VK_DRIVER_FILES: manifest,
    VK_ICD_FILENAMES: manifest,
    LD_LIBRARY_PATH: path,
    NULL_DRIVER: library,
    RADV_FORCE_FAMILY: family,
    RADV_DEBUG: "shaderstats,nocache", // a pipeline out of a cache prints nothing
    MESA_SHADER_CACHE_DISABLE: "true",
    ACO_DEBUG: "perfinfo",
    XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? cache,
  };
}

let found: { manifest: string; library: string } | null = null;
/** RADV's library, and a manifest of the driver around it, which is built where it is new. */
function radv(): { manifest: string; library: string } {
  if (found) return found;
  const icd = run(
    "bash",
    [join(tools, "software-gpu.sh"), "path"],
    "RADV cannot be had. Install Mesa's RADV, 25 or newer (Debian: mesa-vulkan-drivers), and the Vulkan loader",
    { ...process.env, SOFTWARE_GPU_DRIVER: "radeon" },
  ).trim();
  const { library_path } = JSON.parse(readFileSync(icd, "utf8")).ICD as { library_path: string };
  const library = library_path.includes("/") ? resolve(dirname(icd), library_path) : library_path;
  const source = join(tools, "shader-stats/null_driver.c");
  const name = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12);
  const built = join(cache, `${name}.so`);
  const fresh = `${built}.${process.pid}`;
  const cc = process.env.CC || "cc";
  run(
    cc,
    ["-shared", "-fPIC", "-O1", "-fvisibility=hidden", "-o", fresh, source, "-ldl"],
    `A C compiler is needed for ${source}: install gcc and libc6-dev, or name another in CC`,
  );
  renameSync(fresh, built);
  const manifest = join(cache, `${name}.json`);
  const ICD = { library_path: built, api_version: "1.4.305" };
  writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD }));
  found = { manifest, library };
  return found;
}

function run(program: string, args: string[], otherwise: string, env = process.env): string {
  try {
    return execFileSync(program, args, {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`shader-stats: ${otherwise}.\n${stderr?.trim() || message}`);
  }
}

/** Runs this program again as a chip of that family. What it prints to stderr comes back, and so does the driver's. */
function asFamily(family: string, mode: string, input: string): Promise<string> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [process.argv[1]!, mode], {
      env: environment(family),
      stdio: ["pipe", "inherit", "pipe"],
    });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (d: string) => {
      text += d;
    });
    child.on("error", failed);
    child.stdin.on("error", () => {}); // a driver that aborts when it is loaded closes the pipe
    child.stdin.end(input);
    child.on("close", (code, signal) => {
      if (code === 0) return done(text);
      const why = /^@@failed (.*)$/m.exec(text)?.[1] ?? JSON.stringify(text.trim().slice(-500));
      failed(new Error(`shader-stats: ${family}: ${mode} (${signal ?? code}): ${JSON.parse(why)}`));
    });
  });
}

/** The kernels that the engine composes on a chip of that family; `composed.ts` says which. */
export async function composedFor(family: string): Promise<Job[]> {
  const text = await asFamily(family, "--compose", "");
  return JSON.parse(/^@@composed (.*)$/m.exec(text)![1]!) as Job[];
}

/** Compiles all jobs for one family. Throws with the driver's or Dawn's words where one does not compile. */
export async function compileFor(family: string, jobs: readonly Job[]): Promise<Compiled> {
  const text = await asFamily(family, "--compile", JSON.stringify(jobs));
  const driver = /^@@driver (.*)$/m.exec(text)![1]!;
  const parts = text.split(/^@@kernel \d+$/m).slice(1);
  const shaders = parts.map((part, i) => {
    const shader = readShader(part);
    if (shader) return shader;
    throw new Error(
      `shader-stats: ${family}: ${driver} printed no statistics of ${jobs[i]!.label}`,
    );
  });
  return { family, driver, shaders };
}
