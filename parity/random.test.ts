// The category random: draws, masks, and initial values, also of a whole NFNet-F0 with its 71 million parameters.
import { afterAll, test } from "vitest";
import { closeGpu, expectAllPass } from "./testing.ts";

afterAll(closeGpu);

test("random", () => expectAllPass(/^random$/), 600_000);
