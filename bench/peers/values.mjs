// How results are held to f64: every element of every result. The bounds come from measured errors.

/**
 * What a result may be off by: the norm of its error over the norm of the values, and the greatest error over the
 * greatest value. `scale` replaces the values' size where a result is a sum that cancels.
 */
export function errorsOf(actual, expected, scale) {
  let [difference, norm, worst, top] = [0, 0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    difference += d * d;
    norm += expected[i] * expected[i];
    worst = Math.max(worst, d); // NaN stays
    top = Math.max(top, Math.abs(expected[i]));
  }
  if (actual.length !== expected.length) return { l2: Number.NaN, max: Number.NaN };
  return { l2: Math.sqrt(difference) / (scale ?? Math.sqrt(norm)), max: worst / (scale ?? top) };
}

/** The worst of several results. */
export function worstOf(actuals, expecteds) {
  const all = expecteds.map(({ data, scale }, i) => errorsOf(actuals[i], data, scale));
  const most = (key) => Math.max(...all.map((errors) => errors[key]));
  return { l2: most("l2"), max: most("max") };
}

/**
 * By kind of operation and library: the greatest norm of the error, and the greatest single error. Once and a half to twice
 * what was measured on Mesa's lavapipe with many draws of the inputs. "sum": convolutions and products. "total": one sum of
 * everything, as a part of the sum of sizes. "chain": 300 additions in a row, each of which rounds. "network": all gradients of a block, all results of a training step.
 */
export const bounds = {
  sum: {
    ours: [2e-6, 5e-6],
    "jax-js": [1e-6, 2e-6],
    tfjs: [2e-6, 5e-6],
    ort: [1.5e-6, 3e-6],
  },
  total: {
    ours: [1.2e-9, 1.2e-9],
    "jax-js": [1.5e-8, 1.5e-8],
    tfjs: [7e-9, 7e-9],
    ort: [5e-9, 5e-9],
  },
  elementwise: {
    ours: [2.5e-7, 6e-7],
    "jax-js": [2e-7, 6e-7],
    tfjs: [5e-7, 2e-6],
    ort: [3e-7, 8e-7],
  },
  chain: {
    ours: [4e-6, 4e-6],
    "jax-js": [4e-6, 4e-6],
    tfjs: [4e-6, 4e-6],
  },
  network: {
    ours: [5e-6, 6e-6],
    "jax-js": [2e-6, 2.5e-6],
    tfjs: [3e-6, 8e-6],
  },
};
