// The drawing area: strokes by mouse, touch, pen or keyboard. Keeps lines, not pixels, so that a theme can change.
import { token } from "../common/dom.ts";
import { onTheme } from "../common/shell.ts";
import type { Drawing } from "./protocol.ts";

type Point = readonly [x: number, y: number];

const STROKE = 0.085; // of the side: as thick as MNIST's pens
const STEP = 0.04; // of the side: how far an arrow key moves
const SIDE = 112; // px of what is classified

export interface Pad {
  clear(): void;
  readonly empty: boolean;
  /** White on black. */
  drawing(): Drawing;
}

/** `changed` is called with every new point, and when the area is cleared. */
export function pad(canvas: HTMLCanvasElement, changed: () => void): Pad {
  let strokes: Point[][] = [];
  let pen: { at: Point; down: boolean } | null = null; // the keyboard's
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application"); // the arrow keys are for drawing
  const copy = document.createElement("canvas");
  copy.width = copy.height = SIDE;

  function lines(context: CanvasRenderingContext2D, side: number, ink: string): void {
    context.strokeStyle = ink;
    context.lineWidth = STROKE * side;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      const [first, ...rest] = stroke;
      context.beginPath();
      context.moveTo(first![0] * side, first![1] * side);
      for (const [x, y] of rest.length ? rest : [first!]) context.lineTo(x * side, y * side);
      context.stroke();
    }
  }
  function draw(): void {
    const side = canvas.width;
    const context = canvas.getContext("2d")!;
    context.clearRect(0, 0, side, side);
    lines(context, side, token("ink"));
    if (!pen) return;
    context.beginPath();
    context.arc(pen.at[0] * side, pen.at[1] * side, 0.05 * side, 0, 2 * Math.PI);
    context.strokeStyle = token("accent");
    context.lineWidth = pen.down ? 6 : 3;
    context.stroke();
  }
  const update = () => {
    draw();
    changed();
  };
  const clear = () => {
    strokes = [];
    if (pen) pen.down = false;
    update();
  };

  const pointOf = (event: PointerEvent): Point => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };
  let pointer: number | null = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointer !== null) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    pen = null;
    strokes.push([pointOf(event)]);
    update();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1)!.push(...(events.length ? events : [event]).map(pointOf));
    update();
  });
  for (const end of ["pointerup", "pointercancel"] as const)
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === pointer) pointer = null;
    });

  const moves: Readonly<Record<string, Point>> = {
    ArrowLeft: [-STEP, 0],
    ArrowRight: [STEP, 0],
    ArrowUp: [0, -STEP],
    ArrowDown: [0, STEP],
  };
  canvas.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    pen ??= { at: [0.5, 0.3], down: false };
    if (move) {
      const [x, y] = pen.at;
      const inside = (v: number) => Math.min(0.95, Math.max(0.05, v));
      pen.at = [inside(x + move[0]), inside(y + move[1])];
      if (pen.down) strokes.at(-1)!.push(pen.at);
    } else if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) strokes.push([pen.at]);
    } else if (event.key === "Delete" || event.key === "Backspace") clear();
    else return;
    event.preventDefault();
    update();
  });
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) pen ??= { at: [0.5, 0.3], down: false };
    draw();
  });
  canvas.addEventListener("blur", () => {
    pen = null;
    draw();
  });
  onTheme(draw);
  return {
    clear,
    get empty() {
      return strokes.length === 0;
    },
    drawing() {
      const context = copy.getContext("2d", { willReadFrequently: true })!;
      context.fillStyle = "#000";
      context.fillRect(0, 0, SIDE, SIDE);
      lines(context, SIDE, "#fff");
      return { width: SIDE, height: SIDE, data: context.getImageData(0, 0, SIDE, SIDE).data };
    },
  };
}
