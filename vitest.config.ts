// Test runner: WGSL as text, no isolation, so that one GPU object lives as long as a worker process.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

process.env.NFGRAD_ADAPTER ||= "software"; // the same adapter everywhere, also beside a GPU

export default defineConfig({
  plugins: [
    {
      name: "wgsl",
      enforce: "pre",
      load(id) {
        const file = id.split("?")[0]!;
        if (!file.endsWith(".wgsl")) return undefined;
        return { code: `export default ${JSON.stringify(readFileSync(file, "utf8"))}`, map: null };
      },
    },
  ],
  resolve: {
    alias: { "#platform": fileURLToPath(new URL("src/platform/node/index.ts", import.meta.url)) },
  },
  test: {
    pool: "forks",
    isolate: false,
    include: ["{src,kernels-test,parity,bench,demo}/**/*.test.ts"],
    testTimeout: 60_000,
  },
});
