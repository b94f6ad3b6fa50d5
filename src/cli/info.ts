// `nfgrad info`: the adapter and the versions, for a bug report.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { withGpu } from "./adapter.ts";
import { command } from "./args.ts";

/** nfgrad's version. package.json is as far from here in dist/ as in src/. */
export const version = (): string =>
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;

/** A package's version; its package.json may not be exported, so it is looked for beside its entry. */
function versionOf(name: string): string {
  const entry = createRequire(import.meta.url).resolve(name);
  const folder = `/node_modules/${name}/`;
  const end = entry.replaceAll("\\", "/").lastIndexOf(folder) + folder.length;
  return JSON.parse(readFileSync(`${entry.slice(0, end)}package.json`, "utf8")).version;
}

/** Names and versions of what computes here. */
export const versions = (): Record<string, string> => ({
  nfgrad: version(),
  Node: process.versions.node,
  webgpu: versionOf("webgpu"),
  system: `${process.platform}-${process.arch}`,
});

export const info = command({
  name: "info",
  summary: "show the adapter, its limits and features, and versions",
  options: {},
  async run(values) {
    const versions = `Node ${process.versions.node}, webgpu ${versionOf("webgpu")}`;
    console.log(`nfgrad ${version()}, ${versions}, ${process.platform}-${process.arch}`);
    await withGpu(values, async (gpu) => {
      const { vendor, architecture, subgroups, limits, features } = gpu.info;
      console.log(`vendor: ${vendor || "unknown"}, architecture: ${architecture || "unknown"}`);
      const sizes = subgroups && [...new Set([subgroups.min, subgroups.max])].join(" to ");
      console.log(`subgroups: ${sizes ? `of ${sizes}` : "none"}`);
      console.log(`features: ${[...features].sort().join(", ") || "none"}`);
      console.log("limits:");
      for (const [name, value] of Object.entries(limits))
        console.log(`  ${name.padEnd(36)}${value.toLocaleString("en")}`);
    });
  },
});
