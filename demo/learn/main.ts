// The Learn page: two networks train in a worker, and this page shows what they do. `?small`, `?demo` and `?deep` choose
// the network; without one it is the demo's on a GPU, and the small one where a CPU does the work.
import { isSoftware } from "../../src/platform/types.ts";
import { byId } from "../common/dom.ts";
import { webgpuOrHelp } from "../common/noWebgpu.ts";
import { connect } from "../common/rpc.ts";
import { announce, shell } from "../common/shell.ts";
import { pad } from "./pad.ts";
import { networks, preset } from "./presets.ts";
import type { Events, Opened, Reader } from "./protocol.ts";
import { settingsPanel } from "./settings.ts";
import { view } from "./view.ts";
import type { LearnHandlers, Start } from "./worker.ts";

shell("learn");
if (await webgpuOrHelp(byId("main", HTMLElement))) await learn();

async function learn(): Promise<void> {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const { call, on } = connect<LearnHandlers, Events>(worker);
  const page = view();
  const button = (id: string) => byId(id, HTMLButtonElement);
  const [play, step, reset] = [button("play"), button("step"), button("reset")];
  const network = byId("network", HTMLSelectElement);
  network.value = await networkWanted();
  const settings = settingsPanel(
    preset("large", network.value),
    (next) => void attempt(() => call.set(next)),
  );

  let running = true;
  let files: readonly File[] | null = null; // the visitor's; null: the digits
  const enable = (on: boolean) => {
    for (const each of [play, step, reset]) each.disabled = !on;
  };
  const run = (on: boolean) => {
    running = on;
    play.textContent = on ? "Pause" : "Resume";
    return on ? call.run() : call.pause();
  };
  /** Shows what fails; `lost` and `failed` have told already why training stopped. */
  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      page.trouble((error as Error).message);
      return undefined;
    }
  }

  async function opening(open: (start: Start) => Promise<Opened>): Promise<void> {
    enable(false);
    page.compiling(0);
    try {
      const testCount = network.value === "small" ? 100 : 1000;
      page.opened(await open({ network: network.value, settings: settings.now, testCount }));
      page.cut(0);
      page.trouble(null);
      enable(true);
      await run(true);
    } finally {
      page.compiling(1);
    }
  }
  const open = () =>
    attempt(() =>
      opening((start) => {
        const own = files;
        return own ? call.openFiles(own, start) : call.open(start);
      }),
    );

  on("compile", (part) => page.compiling(part));
  on("progress", (progress) => {
    page.progress(progress);
    if (Object.keys(progress.diverged).length < 2) return;
    running = false;
    play.textContent = "Resume";
    announce("Both networks diverged. Choose a smaller learning rate and reset.");
  });
  on("insight", page.insight);
  on("tested", page.tested);
  const stopped = (message: string) => {
    enable(false);
    page.trouble(message);
  };
  on("lost", ({ step, message }) =>
    stopped(`Training stopped: ${message}. It can go on from step ${step}, kept in memory.`),
  );
  on("failed", ({ message }) => stopped(`Training stopped: ${message}`));
  button("recover").addEventListener("click", () =>
    attempt(async () => {
      page.compiling(0);
      try {
        page.cut(await call.recover());
      } finally {
        page.compiling(1);
      }
      page.trouble(null);
      enable(true);
      announce("Training goes on.");
    }),
  );

  play.addEventListener("click", () => attempt(() => run(!running)));
  step.addEventListener("click", () =>
    attempt(async () => {
      await run(false);
      await call.step();
    }),
  );
  const restart = () =>
    attempt(async () => {
      await call.reset();
      page.cut(0);
    });
  reset.addEventListener("click", restart);
  for (const name of ["large", "gentle"] as const)
    button(name).addEventListener("click", async () => {
      settings.take(preset(name, network.value));
      await restart();
      await attempt(() => run(true));
    });
  network.addEventListener("change", () => {
    settings.take(preset("large", network.value));
    void open();
  });

  // Drawing: one question at a time, the newest.
  let [asking, again] = [false, false];
  const reader = byId("reader", HTMLSelectElement);
  const guess = async (): Promise<void> => {
    byId("pad-hint", HTMLElement).hidden = !drawing.empty;
    again = asking;
    if (asking) return;
    asking = true;
    const chances = drawing.empty
      ? null
      : await attempt(() => call.classify(drawing.drawing(), reader.value as Reader));
    asking = false;
    page.classes(chances ?? null, reader.value as Reader);
    if (again) await guess();
  };
  const drawing = pad(byId("pad", HTMLCanvasElement), guess);
  reader.addEventListener("change", guess);
  button("clear").addEventListener("click", () => drawing.clear());

  // The visitor's files.
  const digits = button("digits");
  const take = async (list: FileList | readonly File[]) => {
    page.filesError(null);
    const given = [...list];
    try {
      await opening((start) => call.openFiles(given, start));
      files = given;
      digits.hidden = false;
    } catch (error) {
      page.filesError((error as Error).message);
      input.value = ""; // so that the same file, mended, is a change
      enable(true); // what was open goes on
    }
  };
  const input = byId("files", HTMLInputElement);
  input.addEventListener("change", () => take(input.files ?? []));
  const drop = byId("drop", HTMLElement);
  for (const type of ["dragover", "drop", "dragleave"] as const)
    drop.addEventListener(type, (event) => {
      if (type !== "dragleave") event.preventDefault();
      drop.classList.toggle("over", type === "dragover");
      if (type === "drop") void take(event.dataTransfer?.files ?? []);
    });
  digits.addEventListener("click", () => {
    files = null;
    digits.hidden = true;
    input.value = "";
    page.filesError(null);
    void open();
  });

  await open();
}

/** The network that the address names, or what suits the adapter. */
async function networkWanted(): Promise<string> {
  const wanted = new URLSearchParams(location.search);
  const named = Object.keys(networks).find((name) => wanted.has(name));
  const adapter = named ? null : await navigator.gpu.requestAdapter();
  return named ?? (adapter && isSoftware(adapter.info) ? "small" : "demo");
}
