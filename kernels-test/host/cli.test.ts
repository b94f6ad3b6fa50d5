// The command line: options are read, wrong ones are one clear OptionError, --help names them all.
import { describe, expect, test } from "vitest";
import { type Command, command, help, read } from "../../src/cli/args.ts";
import { beside, drawImage } from "../../src/cli/draw.ts";
import { duration, line } from "../../src/cli/progress.ts";
import { train } from "../../src/cli/train.ts";
import { OptionError } from "../../src/errors.ts";

const sample: Command = command({
  name: "sample",
  summary: "a command",
  operands: "FILE...",
  options: {
    count: { type: "integer", min: 1, max: 9, help: "how many" },
    "step-size": { type: "number", above: 0, help: "how far" },
    kind: { type: "text", choices: ["a", "b", "c"], help: "which" },
    loud: { type: "flag", help: "how" },
  },
  run: async () => {},
});

test("values are typed and named in camelCase", () => {
  const args = ["x", "--count", "3", "--step-size=0.5", "--loud", "--kind", "b", "y"];
  expect(read(sample, args)).toEqual({
    values: { count: 3, stepSize: 0.5, loud: true, kind: "b" },
    operands: ["x", "y"],
  });
  expect(read(sample, [])).toEqual({ values: {}, operands: [] });
  expect(read(sample, ["--", "--count"]).operands).toEqual(["--count"]);
});

test.each([
  [["--nope"], "nfgrad sample: unknown option '--nope'; see nfgrad sample --help"],
  [["-x"], "unknown option '-x'"],
  [["--count"], "--count expects a value"],
  [["--count", "--loud"], "--count expects a value"],
  [["--count="], "--count expects a value"],
  [["--count", "0"], "--count expects an integer of at least 1 up to 9, got '0'"],
  [["--count", "10"], "got '10'"],
  [["--count", "1.5"], "expects an integer"],
  [["--count", "three"], "got 'three'"],
  [["--step-size", "0"], "--step-size expects a number above 0, got '0'"],
  [["--step-size", "-1"], "got '-1'"],
  [["--step-size", "Infinity"], "got 'Infinity'"],
  [["--kind", "d"], "--kind expects one of a, b, c, got 'd'"],
  [["--loud=1"], "--loud takes no value"],
  [["--adapter", "gpu"], "--adapter expects hardware or software, got 'gpu'"],
])("%j is refused", (args, message) => {
  expect(() => read(sample, args)).toThrow(OptionError);
  expect(() => read(sample, args)).toThrow(message);
});

test("an option whose value may be left out", () => {
  const json = { type: "text", value: "FILE", optional: true, help: "where to" } as const;
  const one = command({
    name: "one",
    summary: "",
    options: { json, all: { type: "flag", help: "" } },
    run: async () => {},
  });
  expect(read(one, ["--json", "--all"]).values).toEqual({ json: true, all: true });
  expect(read(one, ["--json"]).values).toEqual({ json: true });
  expect(read(one, ["--json", "a.json"]).values).toEqual({ json: "a.json" });
  expect(help(one)).toContain("--json [FILE]");
});

test("operands where there are none", () => {
  expect(() => read(train, ["x"])).toThrow(/nfgrad train: expects only options, got 'x'/);
});

test("--help names every option", () => {
  const text = help(sample);
  expect(text).toContain("usage: nfgrad sample [options] FILE...");
  for (const name of ["count N", "step-size X", "kind TEXT", "loud", "adapter", "help", "debug"])
    expect(text).toContain(`--${name}`);
});

describe("what is printed", () => {
  test("an image in half blocks", () => {
    const pixels = Uint8Array.of(255, 0, 255, 0, 0, 255, 255, 0, 0, 0, 255, 0);
    const images = { count: 1, height: 3, width: 4, channels: 1, pixels, labels: Uint8Array.of(0) };
    expect(drawImage(images, 0)).toEqual(["▀▄█ ", "  ▀ "]);
    const cut = {
      ...images,
      height: 4,
      width: 3,
      pixels: pixels.map((_, i) => (i === 7 ? 255 : 0)),
    };
    expect(drawImage(cut, 0, 1)).toEqual(["▄"]);
  });
  test("blocks beside each other", () => {
    const blocks = ["a", "b", "c"].map((caption) => ({ caption, lines: ["1234"] }));
    expect(beside(blocks, 10)).toEqual(["a     b", "1234  1234", "", "c", "1234", ""]);
  });
  test("progress in one line", () => {
    const progress = {
      epoch: 2,
      epochs: 8,
      step: 300,
      steps: 1000,
      loss: 0.12345,
      accuracy: 0.9876,
      imagesPerSecond: 812.4,
      secondsLeft: 75.2,
    };
    expect(line(progress)).toBe(
      "epoch 2/8  step 300/1000  loss 0.123  accuracy 98.8 %  812 images/s  1 min 15 s left",
    );
    const test = { correct: 984, count: 1000 };
    expect(line({ ...progress, step: 1000, test })).toMatch(/images\/s {2}test 98\.4 %$/);
    expect(duration(59.4)).toBe("59 s");
  });
});
