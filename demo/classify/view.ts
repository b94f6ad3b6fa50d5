// What the page "Classify" shows: facts, answers, times. Decides nothing and asks nobody.

import { byId, h } from "../common/dom.ts";
import { announce } from "../common/shell.ts";
import type { Answer, Events, Network, PartTime, Times } from "./messages.ts";

const text = (id: string, words: string): void => {
  byId(id, HTMLElement).textContent = words;
};
const percent = (part: number): string => `${(100 * part).toFixed(part > 0.9995 ? 0 : 1)} %`;

/** Three digits, in the unit that suits them. */
export function duration(seconds: number): string {
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  if (seconds >= 1e-3) return `${(1e3 * seconds).toPrecision(3)} ms`;
  return `${(1e6 * seconds).toPrecision(3)} µs`;
}

/** A bar that fills `part` of its track. */
function bar(part: number): HTMLElement {
  const fill = h("i");
  fill.style.width = `${(100 * part).toFixed(2)}%`;
  return h("span", { class: "track" }, fill);
}

/** An error beside what caused it; null takes it away. */
export function showError(id: "network-error" | "picture-error", words: string | null): void {
  const message = byId(id, HTMLElement);
  message.textContent = words ?? "";
  message.hidden = words === null;
}

export function showNetwork(network: Network, file: File, shipped: boolean): void {
  const { variant, parameters, classes, height, width, adapter, software } = network;
  const facts: readonly (readonly [string, string])[] = [
    ["Model", `NFNet-${variant}, ${(parameters / 1e6).toFixed(2)} M parameters`],
    ["Sees", `pictures of ${width}×${height}, ${classes.toLocaleString("en")} classes`],
    ["File", `${file.name}, ${(file.size / 1e6).toFixed(1)} MB`],
    ["Runs on", `${adapter}${software ? " (software, slow)" : ""}`],
  ];
  byId("facts", HTMLElement).replaceChildren(
    ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
  byId("shipped", HTMLElement).hidden = shipped;
  announce(`The network is loaded: NFNet ${variant}`);
}

/** How much of a checkpoint is loaded; null: nothing is being loaded. */
export function showLoading(what: string | null, part?: number): void {
  byId("loading", HTMLElement).hidden = what === null;
  text("loading-text", what ?? "");
  const progress = byId("loading-bar", HTMLProgressElement);
  if (part === undefined) progress.removeAttribute("value");
  else progress.value = part;
}

/** The picture that is asked about; null: none. */
export function showPicture(file: File | null): void {
  const preview = byId("preview", HTMLImageElement);
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = file === null;
  byId("empty", HTMLElement).hidden = file !== null;
  text("picture-about", file?.name ?? "");
  if (!file) {
    preview.removeAttribute("src");
    return;
  }
  preview.alt = `The picture ${file.name}`;
  preview.onload = () => {
    preview.classList.toggle("pixels", preview.naturalWidth < 96 && preview.naturalHeight < 96);
  };
  preview.src = URL.createObjectURL(file);
}

/** An answer is on its way. */
export function showBusy(busy: boolean): void {
  byId("answer-card", HTMLElement).setAttribute("aria-busy", String(busy));
}

export function showAnswer({ top, inverted, seconds }: Answer, imagenet: boolean): void {
  const [best] = top;
  const name = best?.name.split(", ")[0] ?? "";
  text("verdict", name);
  text("sure", percent(best?.probability ?? 0));
  const list = byId("top", HTMLElement);
  list.classList.toggle("named", imagenet);
  list.replaceChildren(
    ...top.map(({ name, probability }, i) =>
      h(
        "li",
        i === 0 ? { class: "best" } : {},
        h("span", { class: "name" }, name),
        bar(probability),
        h("span", {}, percent(probability)),
      ),
    ),
  );
  text("answer-time", `${duration(seconds)} from file to answer`);
  const note =
    "The picture is dark on light: it was inverted, as the network learnt light on dark.";
  text("answer-note", inverted ? note : "");
  announce(`Most likely: ${name}, ${percent(best?.probability ?? 0)}`);
}

/** No answer: there is none yet, or the picture was refused. */
export function clearAnswer(): void {
  text("verdict", "…");
  text("sure", "");
  byId("top", HTMLElement).replaceChildren();
  text("answer-time", "");
  text("answer-note", "");
}

function showParts(parts: readonly PartTime[]): void {
  const most = Math.max(...parts.map(({ seconds }) => seconds));
  byId("parts", HTMLElement).replaceChildren(
    ...parts.map(({ name, shape, seconds, dispatches }) =>
      h(
        "li",
        { title: `${name}: ${duration(seconds)}, ${dispatches} dispatches` },
        h("span", {}, name),
        h("span", { class: "shape" }, shape),
        bar(seconds / most),
        h("span", {}, duration(seconds)),
      ),
    ),
  );
}

/** The parts that are warmed up, with their times so far. */
export function showTiming({ parts, of }: Events["timing"]): void {
  showParts(parts);
  text("times-about", parts.length < of ? `warming up ${parts.length} of ${of}` : "measuring");
}

export function showTimes({ parts, whole, rounds, clock }: Times): void {
  showParts(parts);
  const sum = parts.reduce((n, { seconds }) => n + seconds, 0);
  const by =
    clock === "timestamp"
      ? "by the GPU’s timestamps"
      : "by this page’s clock, so with the way to the GPU and back";
  text("times-about", `${duration(whole)} in one go`);
  announce(`The network takes ${duration(whole)}; the times of its parts are listed`);
  text(
    "times-note",
    `One picture, warmed up; each part alone, ${by}; medians of ${rounds} turns. ` +
      `The parts add up to ${duration(sum)}; the whole network in one go takes ${duration(whole)}.`,
  );
}

/** Nothing is timed: `words` say why. */
export function clearTimes(words: string): void {
  byId("parts", HTMLElement).replaceChildren();
  text("times-about", "");
  text("times-note", words);
}
