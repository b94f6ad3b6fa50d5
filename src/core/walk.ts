// Walking nested objects and arrays with any kind of leaf. The public functions for trees of tensors are in tree.ts.
import { Tensor } from "./tensor.ts";

export const isTensor = (x: unknown): x is Tensor => x instanceof Tensor;

/** Host arrays are values: to walk one takes as many steps as it has elements. */
const isBranch = (x: unknown): x is object =>
  typeof x === "object" && x !== null && !ArrayBuffer.isView(x);

/** What `isLeaf` says is a leaf, in order of keys, with its path. */
export function collect<L>(
  tree: unknown,
  isLeaf: (x: unknown) => x is L,
): { path: string; leaf: L }[] {
  const found: { path: string; leaf: L }[] = [];
  const walk = (node: unknown, path: string): void => {
    if (isLeaf(node)) found.push({ path, leaf: node });
    else if (isBranch(node)) {
      for (const [key, sub] of Object.entries(node)) walk(sub, path ? `${path}/${key}` : key);
    }
  };
  walk(tree, "");
  return found;
}

/** The same tree with each leaf replaced; other values stay as they are. */
export function replace<L>(
  tree: unknown,
  isLeaf: (x: unknown) => x is L,
  change: (leaf: L, index: number) => unknown,
): unknown {
  let index = 0;
  const walk = (node: unknown): unknown => {
    if (isLeaf(node)) return change(node, index++);
    if (Array.isArray(node)) return node.map(walk);
    if (!isBranch(node)) return node;
    return Object.fromEntries(Object.entries(node).map(([key, sub]) => [key, walk(sub)]));
  };
  return walk(tree);
}
