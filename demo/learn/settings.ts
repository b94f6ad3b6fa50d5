// The sliders: from positions to settings and back.
import { byId } from "../common/dom.ts";
import { BATCHES } from "./presets.ts";
import type { Settings } from "./protocol.ts";

const format = (value: number): string => String(Number(value.toPrecision(2)));

/** Shows `start`, and calls `changed` with every change. */
export function settingsPanel(start: Settings, changed: (settings: Settings) => void) {
  const inputs = {
    lr: byId("lr", HTMLInputElement),
    clipping: byId("clipping", HTMLInputElement),
    batch: byId("batch", HTMLInputElement),
  };
  let settings = start;
  const show = () => {
    for (const name of ["lr", "clipping", "batch"] as const) {
      const text = format(settings[name]);
      byId(`${name}-value`, HTMLOutputElement).value = text;
      inputs[name].setAttribute("aria-valuetext", text);
    }
  };
  const place = () => {
    inputs.lr.value = String(Math.log10(settings.lr));
    inputs.clipping.value = String(Math.log10(settings.clipping));
    inputs.batch.value = String(BATCHES.indexOf(settings.batch));
  };
  const choose = (next: Settings, moved: boolean) => {
    settings = next;
    if (!moved) place();
    show();
    changed(settings);
  };
  const power = (input: HTMLInputElement) => Number(format(10 ** Number(input.value)));
  inputs.lr.addEventListener("input", () => choose({ ...settings, lr: power(inputs.lr) }, true));
  inputs.clipping.addEventListener("input", () =>
    choose({ ...settings, clipping: power(inputs.clipping) }, true),
  );
  inputs.batch.addEventListener("input", () =>
    choose({ ...settings, batch: BATCHES[Number(inputs.batch.value)]! }, true),
  );
  place();
  show();
  return {
    get now() {
      return settings;
    },
    /** A preset's settings. */
    take: (given: Settings) => choose(given, false),
  };
}
