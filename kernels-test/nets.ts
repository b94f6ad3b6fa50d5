// Small networks and their parameters for cases, and the hash by which long lists are compared.
import { nn, type ParamSpec, type SpecTree } from "../src/index.ts";

/** FNV-1a of the bytes: equal only if every bit is. */
export function hash(data: Float32Array | Uint32Array): number {
  let h = 0x811c9dc5;
  for (const byte of new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}
export const tiny: nn.NFNetVariant = {
  width: [16, 32, 64, 64],
  depth: [1, 2, 2, 1],
  groupWidth: [8, 8, 8, 8],
  trainImsize: 32,
  testImsize: 32,
  dropRate: 0,
};

const isParam = (node: object): node is ParamSpec => "init" in node;
/** The same spec with values that make every parameter count: gains near 1, skip gains 0.5. */
export function lively<S extends SpecTree>(spec: S): S {
  const walk = (node: SpecTree, name: string): unknown => {
    if (Array.isArray(node)) return node.map((sub: SpecTree) => walk(sub, name));
    if (!isParam(node)) {
      return Object.fromEntries(Object.entries(node).map(([k, sub]) => [k, walk(sub, k)]));
    }
    const { init } = node;
    if (name === "skipGain") return { ...node, init: nn.init.constant(0.5) };
    return { ...node, init: init.random ? init : nn.init.normal(0.1, name === "gain" ? 1 : 0) };
  };
  return walk(spec, "") as S;
}
