// Files of parameters that are cut or have flipped bits: a FormatError each time, unless the damage is in the data.
import { describe, expect, test } from "vitest";
import { join, pickleOf } from "./pickleWriter.ts";
import { attempt, golden, refused, tiny } from "./unknownFiles.ts";

/** Random numbers that are the same at every run. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("any damage is a FormatError, or unseen in the data", () => {
  const files: [string, () => Uint8Array][] = [
    ["protocol 2", () => join([...pickleOf(tiny, 2)])],
    ["protocol 4", () => join([...pickleOf(tiny, 4)])],
    ["odd-leaves", () => golden("odd-leaves.npz")],
  ];
  test.each(files)("%s, cut at every byte", async (_, make) => {
    const whole = make();
    expect(await attempt(whole)).toBeNull();
    for (let length = 0; length < whole.length; length++)
      await refused(whole.slice(0, length), /./);
  });
  test.each(files)("%s, with flipped bits", async (_, make) => {
    const whole = make();
    const next = random(1);
    for (let i = 0; i < 3000; i++) {
      const broken = whole.slice();
      for (let n = next(3); n >= 0; n--) broken[next(broken.length)]! ^= 1 << next(8);
      await attempt(broken);
    }
  });
  test.each([
    "dill",
    "pickle2",
    "pickle4-jax",
    "pickle4-flatmapping",
    "pickle5",
    "savez",
    "savez-compressed",
  ])("%s.npz, cut and flipped", async (name) => {
    const whole = golden(`${name}.npz`);
    const next = random(2);
    for (let length = next(9973); length < whole.length; length += 9973)
      await refused(whole.subarray(0, length), /./);
    for (let i = 0; i < 60; i++) {
      const broken = whole.slice();
      for (let n = 0; n < 20; n++) broken[next(i % 2 ? 2000 : broken.length)]! ^= 1 << next(8);
      await attempt(broken);
    }
  });
});
