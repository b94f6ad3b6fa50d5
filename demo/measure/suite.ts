// What both suites of the page "Measure" have in common: run and stop buttons, progress, errors, the JSON report.
import { byId } from "../common/dom.ts";
import { announce } from "../common/shell.ts";

/** Elements have ids that begin with the suite's name: `speed-run`. */
export type Name = "speed" | "exact";

const part = (name: Name, what: string): HTMLElement => byId(`${name}-${what}`, HTMLElement);
const button = (name: Name, what: string): HTMLButtonElement =>
  byId(`${name}-${what}`, HTMLButtonElement);

export function showProgress(name: Name, done: number, words: string): void {
  byId(`${name}-bar`, HTMLProgressElement).value = done;
  part(name, "now").textContent = words;
}

/** What was found: in words, and as JSON for the buttons. */
export function showOutcome(name: Name, words: string, json: string): void {
  part(name, "summary").textContent = words;
  part(name, "outcome").hidden = false;
  const copy = button(name, "copy");
  copy.onclick = async () => {
    const said = await navigator.clipboard.writeText(json).then(
      () => "Copied",
      () => "Not allowed here: download it",
    );
    announce(said);
    const label = copy.dataset.label ?? copy.textContent;
    copy.dataset.label = label;
    copy.textContent = said;
    setTimeout(() => {
      copy.textContent = label;
    }, 2000);
  };
  button(name, "save").onclick = () => {
    const url = URL.createObjectURL(new Blob([json], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name === "speed" ? "nfgrad-bench.json" : "nfgrad-parity.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
}

export interface Suite {
  readonly name: Name;
  /** Runs it and shows what it finds. */
  readonly run: () => Promise<void>;
  readonly stop: () => void;
  /** Shows an error that is none of the suite's own, and returns true. */
  readonly handled: (error: unknown) => boolean;
}

/** Connects a suite's form. Only one suite runs at a time. */
export function open({ name, run, stop, handled }: Suite): void {
  const error = part(name, "error");
  const runs: HTMLButtonElement[] = [button("speed", "run"), button("exact", "run")];
  byId(`${name}-form`, HTMLFormElement).addEventListener("submit", async (event) => {
    event.preventDefault();
    if (runs.some(({ disabled }) => disabled)) return;
    for (const each of runs) each.disabled = true;
    button(name, "stop").disabled = false;
    error.hidden = true;
    part(name, "outcome").hidden = true;
    showProgress(name, 0, "Starting");
    part(name, "progress").hidden = false;
    try {
      await run();
    } catch (thrown) {
      if (!handled(thrown)) {
        error.textContent = thrown instanceof Error ? thrown.message : String(thrown);
        error.hidden = false;
      }
    } finally {
      for (const each of runs) each.disabled = false;
      button(name, "stop").disabled = true;
      part(name, "progress").hidden = true;
    }
  });
  button(name, "stop").addEventListener("click", () => {
    part(name, "now").textContent = "Stopping";
    stop();
  });
}
