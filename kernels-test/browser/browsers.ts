// Opens real browsers without a window, on software adapters: Chromium on its own SwiftShader, Firefox on Mesa's
// lavapipe, the driver of Node's tests. Knows no page.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer, { type Browser } from "puppeteer-core";

export type { Browser, Page } from "puppeteer-core";
export type Engine = "chromium" | "firefox";
export const ENGINES: readonly Engine[] = ["chromium", "firefox"];

/** The checkout's folder: the nearest with tools/ above this file, or above a bundle of it. */
export const root: string = (() => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "tools/browsers.sh"))) folder = dirname(folder);
  return folder;
})();
const tool = (name: string): string => join(root, "tools", name);

/** The browser's program. @throws Error, with what to do, if it is missing. */
export function programOf(engine: Engine): string {
  try {
    return execFileSync("bash", [tool("browsers.sh"), "find", engine], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    }).trim();
  } catch (cause) {
    const why = String((cause as { stderr?: string }).stderr ?? cause).trim();
    throw new Error(
      `${engine}: no browser to test in (${why}). "bash tools/browsers.sh" gets Chromium and Firefox on ` +
        `Debian and Ubuntu; elsewhere install them, or name one in NFGRAD_${engine.toUpperCase()}`,
      { cause },
    );
  }
}

/** Environment of a process that shall find lavapipe and no other driver; fetches it if the machine has none. */
export function lavapipeEnvironment(): Record<string, string> {
  const script = `eval "$(bash "$1" env)" && printf '%s\\n' "$VK_DRIVER_FILES" "\${LD_LIBRARY_PATH:-}"`;
  const [driver = "", libraries = ""] = execFileSync(
    "bash",
    ["-c", script, "bash", tool("software-gpu.sh")],
    { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
  ).split("\n");
  return {
    VK_DRIVER_FILES: driver,
    VK_ICD_FILENAMES: driver,
    ...(libraries && { LD_LIBRARY_PATH: libraries }),
  };
}

/** The same for the SwiftShader that Chromium brings, and its loader. @throws Error if Chromium is missing. */
export function swiftshaderEnvironment(): Record<string, string> {
  const program = programOf("chromium");
  const driver = execFileSync("bash", [tool("browsers.sh"), "swiftshader", program], {
    encoding: "utf8",
  }).trim();
  return {
    VK_DRIVER_FILES: driver,
    VK_ICD_FILENAMES: driver,
    LD_LIBRARY_PATH: [dirname(driver), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
  };
}

/** This process's environment, and more. */
export const environment = (more: Record<string, string>): Record<string, string> => {
  const given = Object.entries(process.env).filter(
    (e): e is [string, string] => e[1] !== undefined,
  );
  return { ...Object.fromEntries(given), ...more };
};

/**
 * Starts a browser with WebGPU; `close()` it.
 * @throws Error, with what to do, if the browser is missing or does not start.
 */
export async function openBrowser(engine: Engine): Promise<Browser> {
  const executablePath = programOf(engine);
  if (engine === "firefox")
    return puppeteer.launch({
      browser: "firefox",
      executablePath,
      headless: true,
      extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true },
      env: environment(lavapipeEnvironment()),
    });
  return puppeteer.launch({
    executablePath,
    headless: true,
    args: [
      "--enable-unsafe-webgpu", // without it a software adapter is refused
      "--enable-unsafe-swiftshader",
      "--use-webgpu-adapter=swiftshader", // also beside a GPU
      "--disable-dev-shm-usage", // containers have little of it
      "--disable-background-networking",
      "--disable-component-update",
      "--no-first-run",
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), // Chromium's sandbox does not work for root
    ],
  });
}
