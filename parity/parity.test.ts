// The committed goldens: every output of every category agrees with JAX by the judging rule.
import { afterAll, test } from "vitest";
import { closeGpu, expectAllPass, useDebugMode } from "./testing.ts";

useDebugMode();
afterAll(closeGpu);

const LONG = 300_000;

test.each([
  "fill",
  "activations",
  "wsconv",
  "modules",
  "nfblock",
  "optim",
  "groups",
  "metadata",
  "others",
  "checkpoints",
  "preprocess",
])("%s", (category) => expectAllPass(new RegExp(`^${category}$`)), LONG);

test("nfnet: tiny ones", () => expectAllPass(/^nfnet-tiny(?!-trainmode)/), LONG);
