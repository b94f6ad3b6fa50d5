// Whole NFNets: F0 at two sizes with its training gradients, F0+, F1 to F3. Without debug mode, for their size.
import { afterAll, test } from "vitest";
import { closeGpu, expectAllPass } from "./testing.ts";

afterAll(closeGpu);

test.each(["F0-64", "F0-64-grad", "F0-256", "F0p-64", "F1-64", "F2-64", "F3-64"])(
  "nfnet-%s",
  (name) => expectAllPass(new RegExp(`^nfnet-${name}$`)),
  300_000,
);
