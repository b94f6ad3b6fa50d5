// The page "Classify": a checkpoint and a picture go to the worker, what it sees comes back.
import { byId, h } from "../common/dom.ts";
import { isLost } from "../common/lost.ts";
import { webgpuOrHelp } from "../common/noWebgpu.ts";
import { type Connection, connect } from "../common/rpc.ts";
import { shell } from "../common/shell.ts";
import type { Events, Handlers, Network } from "./messages.ts";
import {
  clearAnswer,
  clearTimes,
  showAnswer,
  showBusy,
  showError,
  showLoading,
  showNetwork,
  showPicture,
  showTimes,
  showTiming,
} from "./view.ts";

const ASSETS = "assets/classify";
const SHIPPED = "digits.safetensors";
const FIRST = 5; // the sample that is shown at the start
const IMAGE = /^image\/|\.(jpe?g|png|webp)$/i;

let worker: Worker | null = null;
let engine: Connection<Handlers, Events>;
let network: { readonly file: File; readonly about: Network } | null = null;
let picture: File | null = null;
let loads = 0; // what comes back of an older question is not shown
let looks = 0;
let timed = false; // the network that is loaded

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** A lost device ends everything: the page offers to start again. True if that is what `error` is. */
function lost(error: unknown): boolean {
  const is = isLost(error, () => {
    openWorker();
    void load(network?.file ?? asset(SHIPPED));
  });
  if (is) {
    showBusy(false);
    showLoading(null);
  }
  return is;
}

function openWorker(): void {
  worker?.terminate();
  worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  engine = connect<Handlers, Events>(worker);
  engine.on("loading", ({ done, all }) =>
    showLoading(`Loading weights: ${Math.floor((100 * done) / all)} %`, done / all),
  );
  engine.on("compiling", ({ done, all }) =>
    showLoading(`Compiling kernels: ${done} of ${all}`, done / all),
  );
  engine.on("timing", showTiming);
}

const asset = async (name: string): Promise<File> => {
  const response = await fetch(`${ASSETS}/${name}`);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return new File([await response.blob()], name);
};

async function load(file: File | Promise<File>): Promise<void> {
  const own = ++loads;
  showError("network-error", null);
  showLoading("Loading");
  try {
    const given = await file;
    const about = await engine.call.load(given);
    network = { file: given, about };
    timed = false;
    showNetwork(about, given, given.name === SHIPPED);
    clearTimes("Follows the first answer.");
    clearAnswer();
  } catch (error) {
    if (!lost(error) && own === loads) showError("network-error", messageOf(error));
    return;
  } finally {
    if (own === loads) showLoading(null);
  }
  if (own === loads && picture) await look(picture);
}

async function look(file: File): Promise<void> {
  const own = ++looks;
  showError("picture-error", null);
  showPicture(file);
  picture = file;
  if (!network) return; // it is asked when one is there
  showBusy(true);
  try {
    const found = await engine.call.look(file);
    if (own !== looks) return;
    showAnswer(found, network.about.imagenet);
    if (!timed) await time(own);
  } catch (error) {
    if (own !== looks || lost(error)) return;
    picture = null;
    showPicture(null);
    clearAnswer();
    showError("picture-error", messageOf(error));
  } finally {
    if (own === looks) showBusy(false);
  }
}

async function time(own: number): Promise<void> {
  showBusy(false);
  clearTimes("Measuring …");
  try {
    const times = await engine.call.time();
    if (!times) return clearTimes("Interrupted; follows the next answer.");
    timed = true;
    showTimes(times);
  } catch (error) {
    if (!lost(error) && own === looks) clearTimes(`Could not be measured: ${messageOf(error)}`);
  }
}

function press(chosen: HTMLElement | null): void {
  for (const button of byId("samples", HTMLElement).querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button === chosen));
}

function lookAtOwn(file: File): void {
  press(null);
  void look(file);
}

function samples(): readonly HTMLButtonElement[] {
  return Array.from({ length: 10 }, (_, digit) => {
    const name = `digit-${digit}.png`;
    const image = h("img", { src: `${ASSETS}/${name}`, alt: "", width: 28, height: 28 });
    const button = h(
      "button",
      { type: "button", "aria-label": `Sample of a ${digit}`, "aria-pressed": "false" },
      image,
    );
    button.addEventListener("click", async () => {
      press(button);
      await look(await asset(name));
    });
    return button;
  });
}

/** Files dropped on `target` go to `take`; those for which it returns false are not ours. */
function onDrop(target: HTMLElement | Document, take: (file: File) => void): void {
  const zone = target instanceof HTMLElement ? target.querySelector(".drop") : null;
  const over = (is: boolean) => zone?.classList.toggle("over", is);
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  target.addEventListener("dragleave", () => over(false));
  target.addEventListener("drop", (event) => {
    if (event.defaultPrevented && target === document) return; // a card took it
    event.preventDefault();
    over(false);
    const [file] = (event as DragEvent).dataTransfer?.files ?? [];
    if (file) take(file);
  });
}

function onChoice(id: string, take: (file: File) => void): void {
  const input = byId(id, HTMLInputElement);
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    if (file) take(file);
    input.value = ""; // the same file again is a choice, too
  });
}

shell("classify");
if (await webgpuOrHelp(byId("main", HTMLElement))) {
  const buttons = samples();
  byId("samples", HTMLElement).append(...buttons);
  onChoice("picture", lookAtOwn);
  onChoice("weights", (file) => void load(file));
  onDrop(byId("picture-card", HTMLElement), lookAtOwn);
  onDrop(byId("network-card", HTMLElement), (file) => void load(file));
  onDrop(document, (file) =>
    IMAGE.test(file.type) || IMAGE.test(file.name) ? lookAtOwn(file) : void load(file),
  );
  byId("shipped", HTMLElement).addEventListener("click", () => void load(asset(SHIPPED)));
  openWorker();
  buttons[FIRST]?.click();
  await load(asset(SHIPPED));
}
