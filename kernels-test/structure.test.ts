// Holds the shape of the source: layers, names, sizes, and that every WGSL text and every declared kernel compiles.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Kernel } from "../src/gpu/kernel.ts";
import { adapter } from "./gpu.ts";
import {
  basename,
  code,
  composed,
  exportsOf,
  files,
  importsOf,
  layeringFault,
  read,
  root,
} from "./structure.ts";

const sources = files(["src"], ".ts");
const shaders = files(["shaders"], ".wgsl").filter((f) => !f.startsWith("shaders/lib/"));

describe("layers", () => {
  test("imports point left only", () => {
    const testing = /(\.test|\/testing|\/changed)\.ts$/; // may look behind the public surface
    const own = files(["src", "parity", "bench"], ".ts").filter((f) => !testing.test(f));
    const all = own.flatMap(importsOf);
    expect(all.length).toBeGreaterThan(50);
    expect(all.map(layeringFault).filter((f) => f !== null)).toEqual([]);
  });

  test("nn and optim use only what a user can import", () => {
    const index = new Set([...exportsOf("src/index.ts"), ...exportsOf("src/core/tree.ts")]);
    const faults = files(["src/nn", "src/optim"], ".ts")
      .flatMap(importsOf)
      .filter((i) => i.to.startsWith("src/core/") || i.to.startsWith("src/gpu/"))
      .flatMap((i) =>
        i.names.filter((n) => !index.has(n)).map((n) => `${i.from}: ${n} of ${i.to}`),
      );
    expect(faults).toEqual([]);
  });

  test("GPU types stay in gpu/ and platform/", () => {
    const faults = sources
      .filter((f) => !/^src\/(gpu|platform)\//.test(f))
      .flatMap((f) => [...code(f).matchAll(/\bGPU[A-Z]\w*/g)].map((m) => `${f}: ${m[0]}`))
      .filter((f) => f !== "src/core/open.ts: GPUDevice" && f !== "src/core/gpu.ts: GPUDevice");
    expect(faults).toEqual([]);
  });

  test("node: is imported in platform/node and cli alone", () => {
    const faults = sources
      .filter((f) => !/^src\/(platform\/node|cli)\//.test(f))
      .flatMap(importsOf)
      .filter((i) => i.to.startsWith("node:"))
      .map((i) => `${i.from}: ${i.to}`);
    expect(faults).toEqual([]);
  });
});

describe("names", () => {
  /** Texts that no op or optimizer has the name of, and whose they are. */
  const owners: Readonly<Record<string, string>> = { accumulate: "the tape's sum of gradients" };
  test("each shader has the basename of an op or optimizer", () => {
    const faults = shaders
      .map((f) => basename(f, ".wgsl"))
      .filter((n) => !(n in owners))
      .filter(
        (n) =>
          !existsSync(join(root, `src/ops/${n}.ts`)) &&
          !existsSync(join(root, `src/optim/${n}.ts`)),
      );
    expect(faults).toEqual([]);
  });

  /** Files in ops/ that hold no op of their own. */
  const helpers: Readonly<Record<string, string>> = { index: "the list of exports" };
  test("each op has its cases", () => {
    const faults = files(["src/ops"], ".ts")
      .map((f) => basename(f, ".ts"))
      .filter((n) => !(n in helpers) && /\bdefineOp\b/.test(code(`src/ops/${n}.ts`)))
      .filter((n) => !existsSync(join(root, `kernels-test/cases/${n}.ts`)));
    expect(faults).toEqual([]);
  });

  test("the first line of a shader names its file", () => {
    const all = files(["shaders"], ".wgsl");
    expect(all.filter((f) => !read(f).startsWith(`// ${f}: `))).toEqual([]);
  });

  test("each source file starts with a comment that says what it is", () => {
    const all = files(["src", "kernels-test", "parity", "bench"], ".ts");
    expect(all.filter((f) => !/^(#![^\n]*\n)?(\/\/|\/\*)/.test(read(f)))).toEqual([]);
  });
});

describe("sizes", () => {
  /** Longer than 300 lines, and why. */
  const long: Readonly<Record<string, string>> = {};
  test("files have up to 300 lines", () => {
    const all = files(
      ["src", "shaders", "kernels-test", "parity", "bench", "tools"],
      ".ts",
      ".wgsl",
      ".mjs",
      ".sh",
    );
    const faults = all.filter((f) => read(f).trimEnd().split("\n").length > 300 && !(f in long));
    expect(faults).toEqual([]);
  });
});

describe("WGSL", () => {
  let device: GPUDevice;
  const kernels: Kernel[] = [];
  beforeAll(async () => {
    vi.resetModules(); // other test files of this process may have loaded the ops before anyone looked
    const { observeKernels } = await import("../src/gpu/kernel.ts");
    observeKernels((k) => kernels.push(k));
    await import("../src/index.ts");
    observeKernels(null);
    const { requestAdapter } = await import("../src/platform/node/index.ts");
    const found = await requestAdapter(adapter);
    if (!found) throw new Error(`no ${adapter} adapter`);
    const features = [...found.features].filter((f) => f === "subgroups" || f === "shader-f16");
    device = await found.requestDevice({
      requiredFeatures: features as GPUFeatureName[],
      requiredLimits: {
        maxStorageBuffersPerShaderStage: found.limits.maxStorageBuffersPerShaderStage,
        maxComputeInvocationsPerWorkgroup: found.limits.maxComputeInvocationsPerWorkgroup,
        maxComputeWorkgroupSizeX: found.limits.maxComputeWorkgroupSizeX,
        maxComputeWorkgroupStorageSize: found.limits.maxComputeWorkgroupStorageSize,
      },
    });
  });
  afterAll(() => device?.destroy());

  const faults = async (text: string, what: string): Promise<string[]> => {
    device.pushErrorScope("validation");
    const info = await device.createShaderModule({ code: text, label: what }).getCompilationInfo();
    await device.popErrorScope();
    return info.messages
      .filter((m) => m.type === "error")
      .map((m) => `${what}:${m.lineNum}:${m.linePos} ${m.message}`);
  };

  test("every text compiles at rest", async () => {
    const found: string[] = [];
    for (const f of shaders) found.push(...(await faults(composed(f), f)));
    expect(found).toEqual([]);
  });

  test("every text is used", () => {
    const used = new Set(sources.flatMap(importsOf).map((i) => i.to));
    expect(files(["shaders"], ".wgsl").filter((f) => !used.has(f))).toEqual([]);
  });

  test("every declared kernel makes a pipeline", async () => {
    const found: string[] = [];
    expect(kernels.length).toBeGreaterThan(shaders.length);
    for (const k of kernels) {
      if (/^\s*enable subgroups/.test(k.code) && !device.features.has("subgroups")) continue;
      const bad = await faults(k.code, k.label);
      found.push(...bad);
      if (bad.length) continue;
      await device
        .createComputePipelineAsync({
          layout: "auto",
          compute: {
            module: device.createShaderModule({ code: k.code }),
            entryPoint: k.entry,
            constants: k.constants,
          },
        })
        .catch((e: Error) => found.push(`${k.label}: ${e.message}`));
    }
    expect(found).toEqual([]);
  }, 120_000);
});
