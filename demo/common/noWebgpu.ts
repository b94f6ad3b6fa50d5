// The page when there is no WebGPU: why, and what to do in this very browser.
import { h } from "./dom.ts";

interface Advice {
  readonly browser: string;
  readonly steps: readonly string[];
}

const ELSEWHERE = "Or open this page in Chrome or Edge 113, Safari 26, Firefox 141, or newer.";

/** What helps in the browser with this user agent. */
export function adviceFor(agent: string): Advice {
  const has = (...words: string[]) => words.some((word) => agent.includes(word));
  const linux = has("Linux") && !has("Android");
  if (has("iPhone", "iPad"))
    return {
      browser: "this iPhone or iPad",
      steps: ["Update to iOS or iPadOS 26: every browser on it then has WebGPU."],
    };
  if (has("Firefox/"))
    return {
      browser: "Firefox",
      steps: [
        "Update Firefox: on Windows version 141 has WebGPU, on a Mac version 145.",
        "Elsewhere open about:config, set dom.webgpu.enabled to true, and restart Firefox.",
        "If the graphics driver is blocked, set gfx.webgpu.ignore-blocklist to true there, too.",
      ],
    };
  if (has("Chrome/", "Chromium/"))
    return {
      browser: has("Edg/") ? "Edge" : "Chrome",
      steps: [
        has("Android")
          ? "Update to version 121 or newer, on Android 12 or newer."
          : "Update to version 113 or newer.",
        "In Settings, System, switch on “Use graphics acceleration when available”, and restart.",
        ...(linux
          ? ["On Linux open chrome://flags/#enable-unsafe-webgpu, choose Enabled, and restart."]
          : []),
        "chrome://gpu says under “WebGPU” what is missing.",
      ],
    };
  if (has("Safari/"))
    return {
      browser: "Safari",
      steps: [
        "Update to Safari 26, which has WebGPU switched on.",
        "In Safari 18, switch on WebGPU in Settings, Feature Flags (Advanced shows them).",
      ],
    };
  return { browser: "this browser", steps: ["It does not offer WebGPU to pages."] };
}

/** Why WebGPU cannot be used here, or null if it can. */
export async function missingWebgpu(): Promise<string | null> {
  if (!isSecureContext)
    return "Browsers offer WebGPU only to pages that come over https or from localhost.";
  if (!navigator.gpu) return "This browser has no WebGPU, or it is switched off.";
  if (await navigator.gpu.requestAdapter()) return null;
  return "This browser has WebGPU, but found no graphics adapter that it may use.";
}

/** Replaces the content of `main` by what a visitor can do. */
export function showNoWebgpu(main: HTMLElement, reason: string): void {
  const { browser, steps } = adviceFor(navigator.userAgent);
  main.replaceChildren(
    h(
      "section",
      { class: "card help", role: "alert" },
      h("h1", {}, "This page needs WebGPU"),
      h("p", { class: "lead" }, reason),
      h("h2", {}, isSecureContext ? `What to do in ${browser}` : "What to do"),
      h("ol", {}, ...(isSecureContext ? steps : []).map((step) => h("li", {}, step))),
      h("p", {}, ELSEWHERE),
    ),
  );
}

/** True if there is WebGPU; else `main` says what to do, and the page stops there. */
export async function webgpuOrHelp(main: HTMLElement): Promise<boolean> {
  const reason = await missingWebgpu();
  if (reason !== null) showNoWebgpu(main, reason);
  return reason === null;
}
