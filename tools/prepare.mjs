// Makes sure that there is a WebGPU adapter before the demo, the tests or the benchmarks run. Where there is
// none, on Linux, tools/software-gpu.sh fetches a software one into a cache. Needs a built dist/.
import { spawnSync } from "node:child_process";
import { homedir } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = fileURLToPath(import.meta.url);
const platform = new URL("../dist/platform/node/index.js", import.meta.url);

/** What the adapter says of itself, from a process of its own: a driver that came later is not seen in this one. */
export function adapter() {
  const { stdout, stderr, status } = spawnSync(process.execPath, [here, "--ask"], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`no adapter can be asked for:\n${stderr}`);
  return stdout.trim();
}

async function ask() {
  const { requestAdapter } = await import(platform);
  const info = (await requestAdapter())?.info;
  if (info) console.log(info.description || `${info.vendor} ${info.architecture}`);
}

/** The adapter's name. Throws, with what to do, if none can be had. */
export function prepare() {
  const found = adapter();
  if (found) return found;
  if (process.platform !== "linux" || process.env.NFGRAD_ADAPTER === "hardware")
    throw new Error(
      `no ${process.env.NFGRAD_ADAPTER ?? "WebGPU"} adapter found: update the graphics driver`,
    );
  console.error("No WebGPU adapter found: fetching a software Vulkan driver (Mesa lavapipe).");
  const script = fileURLToPath(new URL("software-gpu.sh", import.meta.url));
  const { status } = spawnSync("bash", [script], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, HOME: process.env.HOME ?? homedir() },
  });
  const fetched = status === 0 ? adapter() : "";
  if (fetched) return fetched;
  throw new Error(
    `no software adapter could be had here. tools/software-gpu.sh needs bash, apt-get and dpkg-deb with a ` +
      `reachable package mirror, and a cache folder that can be written (SOFTWARE_GPU_CACHE names another). ` +
      `Elsewhere install Mesa 25's lavapipe and the Vulkan loader (Fedora: mesa-vulkan-drivers vulkan-loader; ` +
      `Arch: vulkan-swrast vulkan-icd-loader) and set VK_DRIVER_FILES to its lvp_icd*.json`,
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (process.argv[2] === "--ask") await ask();
  else
    try {
      prepare();
    } catch (error) {
      console.error(error.message);
      process.exitCode = 1;
    }
}
