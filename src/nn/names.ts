// Haiku's names of parameters, from their places in our trees. Only the rule; each model says where
// its own tree is arranged differently.
import type { ParamSpec, SpecTree } from "../core/init.ts";

const isParam = (node: SpecTree): node is ParamSpec =>
  "init" in node && typeof node.init === "function";

/** `convShortcut` -> `conv_shortcut`, `linear1` -> `linear_1`; convolutions keep `conv0`, `conv1b`. */
const snake = (name: string): string =>
  name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`).replace(/^(linear)(\d+)$/, "$1_$2");

/** The paths of a spec's parameters in creation order: `["blocks/0/conv0/w", ...]`. */
function specPaths(spec: SpecTree, prefix = ""): string[] {
  if (isParam(spec)) return [prefix];
  return Object.entries(spec).flatMap(([k, v]: [string, SpecTree]) =>
    specPaths(v, prefix ? `${prefix}/${k}` : k),
  );
}

/**
 * From tree path to Haiku's name, in creation order: modules joined by `/~/`, then the parameter.
 * `haikuNames(block.spec, "block")["conv1b/w"]` is `block/~/conv1b/w`. `rename` gives the module
 * names for a path's parts where they differ (`["blocks", "2"]` -> `["nf_block_2"]`).
 */
export function haikuNames(
  spec: SpecTree,
  module: string,
  rename: (parts: readonly string[]) => readonly string[] = (parts) => parts,
): Readonly<Record<string, string>> {
  const name = (path: string) => {
    const parts = path.split("/");
    const modules = [module, ...rename(parts.slice(0, -1)).map(snake)];
    return `${modules.join("/~/")}/${snake(parts.at(-1)!)}`;
  };
  return Object.fromEntries(specPaths(spec).map((path) => [path, name(path)]));
}
