// Training: six runs of up to 100 steps follow JAX's, as far as JAX's own f32 and f64 runs agree.
import { afterAll, test } from "vitest";
import { closeGpu, expectAllPass } from "./testing.ts";

afterAll(closeGpu);

test.each(["agc", "agc-gentle", "agc-8x", "sgd", "sgd-8x", "sgd-eighth"])(
  "curve-%s",
  (name) => expectAllPass(new RegExp(`^curve-${name}$`)),
  600_000,
);
