// base.py: nonlinearities: values and derivatives of the 16 kinds, and values at NaN and infinities.
import { type Gpu, ops, type Tensor, vjp } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { compute, input, onlyInputs, tensor } from "../compute.ts";
import { settings } from "../config.ts";
import type { Case } from "../goldens.ts";

type Kind = ops.ActivationKind;

export const activations: Category = {
  async run(gpu, given) {
    const config = settings(given.config);
    const kind = config.has("activation") ? (config.string("activation") as Kind) : null;
    config.end();
    onlyInputs(given, ["x", "ct"]);
    const outputs = kind === null ? await values(gpu, given) : await derivative(gpu, given, kind);
    const like = (name: string) => `${outputs[name]?.shape}` === `${input(given, "x").shape}`;
    return { outputs, skip: (name) => (like(name) ? subnormalInput(given) : undefined) };
  },
};

/** A case without a kind: the value `y/<kind>` of each kind that it lists. */
function values(gpu: Gpu, given: Case) {
  return compute(gpu, () => {
    const x = tensor(gpu, given, "x");
    const kinds = Object.keys(given.out).filter((name) => name.startsWith("y/"));
    return Object.fromEntries(
      kinds.map((name) => [name, ops.scaledActivation(x, { kind: name.slice(2) as Kind })]),
    );
  });
}

/** Elementwise kinds: the derivative. Kinds over a row: the gradient for the case's cotangent. */
function derivative(gpu: Gpu, given: Case, kind: Kind) {
  const { shape, data } = input(given, "x");
  return compute(gpu, () => {
    const pull = vjp((p: { x: Tensor }) => ops.scaledActivation(p.x, { kind }));
    const ct =
      "ct" in given.in
        ? tensor(gpu, given, "ct")
        : gpu.tensor(new Float32Array(data.length).fill(1), shape);
    const { value, grads } = pull({ x: tensor(gpu, given, "x") }, ct);
    return { y: value, dx: grads.x };
  });
}

/** XLA on CPU flushes subnormal inputs to zero, so what they give is not judged. */
function subnormalInput(given: Case) {
  const { data } = input(given, "x");
  return (i: number) => {
    const x = Math.abs(data[i] ?? 0);
    return x > 0 && x < 2 ** -126;
  };
}
