// Activations by their names in jax.nn, without the gain that normalizer-free networks put behind them (that is
// `ops.scaledActivation`): for the networks that normalize, or are initialized to need neither.
import type { Tensor } from "../core/tensor.ts";
import { OptionError } from "../errors.ts";
import * as ops from "../ops/index.ts";

const hardSigmoid = (x: Tensor): Tensor => ops.div(ops.relu6(ops.add(x, 3)), 6);
const hardSilu = (x: Tensor): Tensor => ops.mul(x, hardSigmoid(x));

const byName = {
  celu: (x: Tensor) => ops.celu(x),
  elu: (x: Tensor) => ops.elu(x),
  gelu: (x: Tensor) => ops.gelu(x),
  glu: (x: Tensor) => ops.glu(x),
  hard_sigmoid: hardSigmoid,
  hard_silu: hardSilu,
  hard_swish: hardSilu,
  hard_tanh: (x: Tensor) => ops.clip(x, { min: -1, max: 1 }),
  identity: (x: Tensor) => x,
  leaky_relu: (x: Tensor) => ops.leakyRelu(x),
  log_sigmoid: (x: Tensor) => ops.logSigmoid(x),
  log_softmax: (x: Tensor) => ops.logSoftmax(x),
  mish: (x: Tensor) => ops.mul(x, ops.tanh(ops.softplus(x))),
  relu: (x: Tensor) => ops.relu(x),
  relu6: (x: Tensor) => ops.relu6(x),
  selu: (x: Tensor) => ops.selu(x),
  sigmoid: (x: Tensor) => ops.sigmoid(x),
  silu: (x: Tensor) => ops.silu(x),
  soft_sign: (x: Tensor) => ops.softSign(x),
  softmax: (x: Tensor) => ops.softmax(x),
  softplus: (x: Tensor) => ops.softplus(x),
  squareplus: (x: Tensor) => ops.mul(ops.add(x, ops.sqrt(ops.add(ops.square(x), 4))), 0.5),
  swish: (x: Tensor) => ops.silu(x),
  tanh: (x: Tensor) => ops.tanh(x),
};

/** A function of `jax.nn` by its name there. */
export type PlainActivation = keyof typeof byName;

/** @throws OptionError for a name that is not one of jax.nn's activations. */
export function plainActivation(user: string, name: PlainActivation): (x: Tensor) => Tensor {
  if (Object.hasOwn(byName, name)) return byName[name];
  const known = Object.keys(byName).join(", ");
  throw new OptionError(`${user}: activation '${name}' is none of ${known}`);
}
