// A lost GPU: driver crash, unplugged, or taken away. The page says so and offers to start again.
import { DeviceLostError } from "../../src/errors.ts";
import { h } from "./dom.ts";

let shown: HTMLElement | null = null;

/** True if `error` is a lost device: then a message above the content offers `again`. */
export function isLost(error: unknown, again: () => void): boolean {
  if (!(error instanceof DeviceLostError)) return false;
  shown?.remove();
  const button = h("button", { type: "button" }, "Start again");
  const words = `The GPU is gone. ${error.message}`;
  shown = h("div", { class: "message bad lost", role: "alert" }, h("span", {}, words), button);
  button.addEventListener("click", () => {
    shown?.remove();
    shown = null;
    again();
  });
  const main = document.querySelector("main");
  main?.insertBefore(shown, main.querySelector(".intro")?.nextSibling ?? main.firstChild);
  return true;
}
