// What of the page changes while training: numbers, curves, maps, messages. Knows the page's elements, no worker.
import { byId, h } from "../common/dom.ts";
import { announce } from "../common/shell.ts";
import { curve, signalChart } from "./charts.ts";
import { heatMap } from "./heat.ts";
import {
  type Both,
  type Insight,
  type Opened,
  type Progress,
  type Reader,
  type Tested,
  WHICH,
  type Which,
} from "./protocol.ts";

const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
const whole = (value: number): string => Math.round(value).toLocaleString("en");
const NAMES: Both<string> = { clipped: "With clipping", free: "Without clipping" };

export function view() {
  const text = (id: string, value: string) => {
    const element = byId(id, HTMLElement);
    if (element.textContent !== value) element.textContent = value;
  };
  const loss = curve(byId("loss", HTMLElement), 4, 1, (v) => v.toFixed(0));
  const accuracy = curve(byId("accuracy", HTMLElement), 1, 0.25, (v) => percent(v));
  let blocks = 0;
  const signal = signalChart(byId("signal", HTMLElement), () => blocks);
  const heat = heatMap();
  let diverged: Partial<Both<number>> = {};
  let tested: Tested | null = null;

  const tiles = () => {
    for (const which of WHICH) {
      const at = diverged[which];
      const right = tested?.accuracy[which];
      const now = loss.mean[which];
      text(
        `score-${which}`,
        at !== undefined ? "diverged" : right === undefined ? "–" : percent(right),
      );
      const test = tested && right !== undefined ? `of ${whole(tested.count)} unseen images` : "";
      const value = now === undefined ? "waiting for the first step" : `loss ${now.toFixed(2)}`;
      text(
        `about-${which}`,
        at !== undefined
          ? `at step ${whole(at)} its loss was no number any more`
          : [test, value].filter(Boolean).join(" · "),
      );
      byId(`score-${which}`, HTMLElement).classList.toggle("lost", at !== undefined);
    }
  };
  const describe = () => {
    const say = (of: Partial<Both<number>>, show: (v: number) => string) =>
      WHICH.map((w) => {
        const value = of[w];
        const state = diverged[w] === undefined ? "not started" : `diverged at step ${diverged[w]}`;
        return `${NAMES[w].toLowerCase()} ${value === undefined ? state : show(value)}`;
      }).join(", ");
    const set = (id: string, label: string) =>
      byId(id, HTMLElement).setAttribute("aria-label", label);
    set("loss", `Loss by step: ${say(loss.mean, (v) => v.toFixed(2))}`);
    set("accuracy", `Accuracy by step: ${say(accuracy.mean, percent)}`);
  };

  return {
    opened({ adapter, layers, blocks: count, data, parameters }: Opened) {
      blocks = count;
      heat.layers(layers);
      const size = `${whole(data.train)} ${data.name} images of ${data.height}×${data.width}`;
      text("adapter", `${adapter} · ${whole(parameters)} weights · ${size}`);
    },
    /** Everything as at a start; or, with a step, forgets what came after it. */
    cut(step: number) {
      loss.cut(step);
      accuracy.cut(step);
      if (step === 0) {
        [diverged, tested] = [{}, null];
        signal({}, {});
        text("fact-images", "0");
        text("fact-rate", "–");
      }
      text("fact-step", whole(step));
      tiles();
      describe();
    },
    progress(progress: Progress) {
      for (const { step, nets } of progress.steps) {
        const of = (name: "loss" | "accuracy") => {
          const values: { -readonly [K in Which]?: number } = {};
          for (const which of WHICH) if (nets[which]) values[which] = nets[which][name];
          return values;
        };
        loss.add(step, of("loss"));
        accuracy.add(step, of("accuracy"));
      }
      for (const which of WHICH)
        if (progress.diverged[which] !== undefined && diverged[which] === undefined)
          announce(`${NAMES[which]}: diverged at step ${progress.diverged[which]}`);
      diverged = progress.diverged;
      text("fact-step", whole(progress.steps.at(-1)!.step));
      text("fact-images", whole(progress.images));
      text("fact-rate", whole(progress.imagesPerSecond));
      tiles();
    },
    insight({ clipped, variance, branch }: Insight) {
      if (clipped.length) heat.add(clipped);
      signal(variance, branch);
      describe();
    },
    tested(result: Tested) {
      tested = result;
      tiles();
    },
    compiling(part: number) {
      byId("compile", HTMLElement).hidden = part >= 1;
      byId("compile-bar", HTMLProgressElement).value = part;
    },
    /** A message with a button, or none. */
    trouble(message: string | null) {
      byId("trouble", HTMLElement).hidden = message === null;
      text("trouble-text", message ?? "");
    },
    filesError(message: string | null) {
      byId("files-error", HTMLElement).hidden = message === null;
      text("files-error", message ?? "");
    },
    classes: classBars(),
  };
}
export type View = ReturnType<typeof view>;

/** Ten bars; null: nothing is drawn. */
function classBars() {
  const rows = Array.from({ length: 10 }, (_, digit) => {
    const fill = h("i");
    const value = h("span", {}, "");
    const row = h(
      "li",
      {},
      h("span", {}, String(digit)),
      h("span", { class: "track" }, fill),
      value,
    );
    return { row, fill, value };
  });
  byId("classes", HTMLOListElement).append(...rows.map(({ row }) => row));
  const verdict = byId("verdict", HTMLElement);
  return (chances: readonly number[] | null, reader: Reader) => {
    const best = chances ? chances.indexOf(Math.max(...chances)) : -1;
    rows.forEach(({ row, fill, value }, i) => {
      const chance = chances?.[i] ?? 0;
      fill.style.width = `${100 * chance}%`;
      value.textContent = chances ? percent(chance) : "";
      row.classList.toggle("best", i === best);
    });
    const name = reader === "clipped" ? "The clipped network" : "The trained network";
    const said = best < 0 ? `${name} will guess.` : `${name} says ${best}.`;
    if (verdict.textContent !== said) verdict.textContent = said;
  };
}
