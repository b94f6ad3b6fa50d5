// Node's platform with an adapter that shows itself as NFGRAD_PRESENT says: as the one of a page, so that every choice
// of kernels is the page's, or with the specification's default limits and no optional feature. Takes the place of
// src/platform/node in the bundles of build.ts; the real adapter must have what is shown.
import { readFileSync } from "node:fs";
import * as node from "../../src/platform/node/index.ts";
import type { AdapterKind } from "../../src/platform/types.ts";
import type { Presented } from "./suite.ts";

export * from "../../src/platform/node/index.ts";

const given = process.env.NFGRAD_PRESENT ?? "";
/** "": as it is; "default": the specification's minimum; else a file with what a page saw. */
const shown: Presented | "default" | null =
  given === "" || given === "default"
    ? given || null
    : (JSON.parse(readFileSync(given, "utf8")) as Presented);

/** Smaller is better for these. */
const isAlignment = (name: string): boolean => name.startsWith("min");

/** Those of the real adapter's limits that are shown. @throws Error for one that it does not reach. */
function limitsOf(real: GPUSupportedLimits): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const name in real) {
    const has = real[name as keyof GPUSupportedLimits] as number;
    if (typeof has !== "number") continue;
    limits[name] = shown && shown !== "default" ? (shown.limits[name] ?? has) : has;
    const better = isAlignment(name) ? has <= limits[name] : has >= limits[name];
    // What the real one lacks and no kernel asks for is shown smaller; results do not depend on it.
    if (!better) limits[name] = has;
  }
  return limits;
}

/** Those of a device that asked for none. */
async function defaultLimits(want?: AdapterKind): Promise<Record<string, number>> {
  const device = await (await node.requestAdapter(want))!.requestDevice(); // an adapter gives one device
  const limits: Record<string, number> = {};
  for (const name in device.limits)
    limits[name] = device.limits[name as keyof GPUSupportedLimits] as number;
  device.destroy();
  return limits;
}

export async function requestAdapter(want?: AdapterKind): Promise<GPUAdapter | null> {
  const real = await node.requestAdapter(want);
  if (!real || !shown) return real;
  const info = shown === "default" ? real.info : ({ ...shown.info } as unknown as GPUAdapterInfo);
  const names = shown === "default" ? [] : shown.features.filter((f) => real.features.has(f));
  const limits = shown === "default" ? await defaultLimits(want) : limitsOf(real.limits);
  const requestDevice = async (wanted: GPUDeviceDescriptor = {}): Promise<GPUDevice> => {
    const device = await real.requestDevice(wanted);
    Object.defineProperty(device, "adapterInfo", { value: info });
    return device;
  };
  return {
    info,
    features: new Set(names),
    limits,
    requestDevice,
  } as unknown as GPUAdapter;
}

export const languageFeatures = (): ReadonlySet<string> => {
  const real = node.languageFeatures();
  if (!shown) return real;
  return new Set(shown === "default" ? [] : shown.language.filter((name) => real.has(name)));
};
