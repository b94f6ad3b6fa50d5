// Times a network part by part: each part alone, on what the part before it gave, by the benchmark suite's own timer.
import { statsOf, type Timer, timer } from "../../bench/measure.ts";
import type { Host } from "../../src/core/host.ts";
import type { Gpu, Recorded, Tensor } from "../../src/index.ts";
import type { Looker, Pretrained } from "../../src/train/index.ts";
import type { PartTime, Times } from "./messages.ts";

/** Seconds that the calls of a round fill: well above the 0.1 ms steps of a browser's timestamps. */
const TARGET = 0.015;
const ROUNDS = 7;
/** Of a call that takes more than a second each, the warm-up is one round and this many follow. */
const FEW = 1;

interface Entry {
  readonly about: Omit<PartTime, "seconds">;
  readonly call: Recorded<[], Tensor>;
  readonly timer: Timer;
  readonly rounds: number[];
}

const shapeText = ([, ...rest]: readonly number[]): string => rest.join("×");
/** The median; before the first round what the warm-up found. */
const secondsOf = ({ rounds, timer }: Entry): number =>
  rounds.length > 0 ? statsOf(rounds).median : timer.seconds;

/**
 * Times all parts of a loaded network for one picture, and the whole of it. Rounds take turns, so that a slow moment
 * of the machine meets all of them.
 * @param onParts Told after each part's warm-up and after each turn, with the medians so far.
 * @param stopped Asked between rounds; true ends it with null.
 */
export async function timeParts(
  gpu: Gpu,
  { model }: Pretrained,
  { params }: Looker,
  picture: Host,
  {
    onParts,
    stopped,
  }: { onParts(parts: readonly PartTime[], of: number): void; stopped(): boolean },
): Promise<Times | null> {
  const parts = model.parts(params);
  const held: { dispose(): void }[] = [];
  const hold = <T extends { dispose(): void }>(x: T): T => {
    held.push(x);
    return x;
  };
  const open = async (name: string, fn: () => Tensor): Promise<Entry> => {
    const call = hold(gpu.record(fn, { name }));
    const own = await timer(gpu, call, TARGET);
    const about = {
      ...{ name, shape: shapeText(call().shape), repeats: own.repeats },
      dispatches: gpu.kernels(call).length,
    };
    return { about, call, timer: own, rounds: [] };
  };
  const told = (entries: readonly Entry[]): PartTime[] =>
    entries.map((e) => ({ ...e.about, seconds: secondsOf(e) }));
  try {
    const images = hold(gpu.tensor(picture));
    const entries: Entry[] = [];
    let x: Tensor = images;
    for (const { name, run } of parts) {
      if (stopped()) return null;
      const input = x;
      const entry = await open(name, () => run(input));
      entries.push(entry);
      onParts(told(entries), parts.length);
      x = hold(gpu.keep(entry.call()));
    }
    if (stopped()) return null;
    const whole = await open("network", () => model(params, images, { train: false }));
    const turns = whole.timer.seconds > 1 ? FEW : ROUNDS;
    for (let turn = 0; turn < turns; turn++) {
      for (const { rounds, timer } of [...entries, whole]) {
        if (stopped()) return null;
        rounds.push(await timer.round());
      }
      onParts(told(entries), parts.length);
    }
    const { clock } = whole.timer;
    return { parts: told(entries), whole: secondsOf(whole), rounds: turns, clock };
  } finally {
    for (const x of held) x.dispose();
  }
}
