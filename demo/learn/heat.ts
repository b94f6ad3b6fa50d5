// The heat map of clipped units: a row a layer, a column a look, now at the right. Its numbers are text beside it.
import { byId, h, token } from "../common/dom.ts";
import { onTheme } from "../common/shell.ts";

const ROW = 18; // px, as in learn.css
const COLUMN = 6;

export interface HeatMap {
  /** Names of the rows; forgets what was shown. */
  layers(names: readonly string[]): void;
  /** Parts from 0 to 1, one a layer. */
  add(parts: readonly number[]): void;
}

export function heatMap(): HeatMap {
  const canvas = byId("heat-map", HTMLCanvasElement);
  const [names, now] = [byId("heat-names", HTMLOListElement), byId("heat-now", HTMLOListElement)];
  const area = byId("heat", HTMLElement);
  area.tabIndex = 0; // it scrolls where there are many layers
  area.setAttribute("role", "group");
  area.setAttribute("aria-labelledby", "heat-title");
  let columns: (readonly number[])[] = [];
  let rows = 0;

  function draw(): void {
    const width = canvas.clientWidth;
    const scale = devicePixelRatio;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(rows * ROW * scale);
    canvas.style.height = `${rows * ROW}px`;
    const context = canvas.getContext("2d")!;
    context.scale(scale, scale);
    context.fillStyle = token("sunken");
    for (let r = 0; r < rows; r++) context.fillRect(0, r * ROW + 1, width, ROW - 2);
    context.fillStyle = token("accent");
    const most = Math.ceil(width / COLUMN);
    columns = columns.slice(-most);
    columns.forEach((parts, i) => {
      const x = width - COLUMN * (columns.length - i);
      parts.forEach((part, r) => {
        context.globalAlpha = part;
        context.fillRect(x, r * ROW + 1, COLUMN, ROW - 2);
      });
    });
  }
  onTheme(draw);
  new ResizeObserver(draw).observe(area);
  return {
    layers(list) {
      [columns, rows] = [[], list.length];
      names.replaceChildren(...list.map((name) => h("li", {}, name)));
      now.replaceChildren(...list.map(() => h("li", {}, "–")));
      draw();
    },
    add(parts) {
      columns.push(parts);
      parts.forEach((part, i) => {
        now.children[i]!.textContent = `${Math.round(100 * part)} %`;
      });
      draw();
    },
  };
}
