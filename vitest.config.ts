// Test runner: WGSL as text, one process for all files, so that one GPU object lives as long as the process.
import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

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
  test: { pool: "forks", isolate: false, include: ["**/*.test.ts"], testTimeout: 60_000 },
});
