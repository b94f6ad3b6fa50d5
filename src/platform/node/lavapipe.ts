// Finds a software Vulkan driver (Mesa lavapipe) on Linux and loads it into this process without environment
// variables. Downloads nothing: tools/software-gpu.sh fills the cache that is read here.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const NOW_AND_FOR_EVER = 0x1002; // RTLD_NOW | RTLD_NODELETE

/** Loads a shared library; true if the process has it afterwards. */
function load(library: string): boolean {
  try {
    process.dlopen({ exports: {} }, library, NOW_AND_FOR_EVER);
  } catch (error) {
    return /self-register/.test(String(error)); // loaded, but no Node addon: what we want
  }
  return true;
}

/** Dawn refuses lavapipe below Vulkan 1.4 (Mesa 22.3 of Debian 12). */
function systemDriver(): string | null {
  const folder = "/usr/share/vulkan/icd.d";
  if (process.env.SOFTWARE_GPU_PRIVATE === "1" || !existsSync(folder)) return null;
  const isNew = (file: string) =>
    /"api_version": *"1\.([4-9]|[1-9]\d)/.test(readFileSync(join(folder, file), "utf8"));
  const file = readdirSync(folder).find((f) => /^lvp_icd.*\.json$/.test(f) && isNew(f));
  return file && load("libvulkan.so.1") ? join(folder, file) : null;
}

/** The folder that tools/software-gpu.sh uses for this distribution and processor. */
export function cacheFolder(): string {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(release)?.[1];
  const debian = { x64: "amd64", ia32: "i386", arm: "armhf", ppc64: "ppc64el" } as const;
  const arch = debian[process.arch as keyof typeof debian] ?? process.arch;
  const base =
    process.env.SOFTWARE_GPU_CACHE ||
    join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "software-gpu");
  return join(base, `${field("ID") ?? "linux"}-${field("VERSION_ID") ?? "sid"}-${arch}`);
}

function cachedDriver(): string | null {
  const folder = cacheFolder();
  if (!existsSync(join(folder, "ok"))) return null;
  let left = readdirSync(join(folder, "lib")).filter((f) => f !== "libvulkan_lvp.so");
  // Dependencies have no order: go round until a round loads nothing more.
  for (let before = -1; left.length > 0 && left.length !== before; ) {
    before = left.length;
    left = left.filter((f) => !load(join(folder, "lib", f)));
  }
  return left.length === 0 ? join(folder, "lvp_icd.json") : null;
}

/** The driver file of a lavapipe that works, its libraries loaded; null if this machine has none. */
export const loadLavapipe = (): string | null => systemDriver() ?? cachedDriver();
