// The Normalizer-Free block and network, written once over the operations that a library brings (`o`: reference.mjs,
// jax.mjs, tfjs.mjs). nfgrad's own are `nn.nfBlock` and `nn.nfnet`; only their sizes and names come from there.

/** A tree of parameters from a list in the order of `paths`: `["conv0/w", ...]`. */
export function treeOf(paths, list) {
  const root = {};
  paths.forEach((path, i) => {
    const parts = path.split("/");
    let at = root;
    for (const part of parts.slice(0, -1)) {
      at[part] ??= {};
      at = at[part];
    }
    at[parts.at(-1)] = list[i];
  });
  return root;
}

/** The shapes of a spec's parameters by path, in order. */
export function shapesOf(spec, prefix = "") {
  if (typeof spec.init === "function") return { [prefix]: spec.shape };
  return Object.assign(
    {},
    ...Object.entries(spec).map(([k, v]) => shapesOf(v, prefix ? `${prefix}/${k}` : k)),
  );
}

const wsConv = (o, p, x, options = {}) => o.conv(x, o.standardize(p.w, p.gain), p.bias, options);

/** `nfnet.py: NFBlock`, with what its options came to. */
export function block(o, p, x, { stride, groups, alpha, beta }) {
  const start = o.act(x, beta);
  const shortcut = p.convShortcut
    ? wsConv(o, p.convShortcut, stride > 1 ? o.pool(start) : start)
    : x;
  let h = wsConv(o, p.conv0, start);
  h = wsConv(o, p.conv1, o.act(h), { stride, groups });
  h = wsConv(o, p.conv1b, o.act(h), { groups });
  h = wsConv(o, p.conv2, o.act(h));
  const { linear, linear1 } = p.squeezeExcite;
  const hidden = o.relu(o.linear(o.mean(h), linear.w, linear.b));
  h = o.excite(h, o.linear(hidden, linear1.w, linear1.b));
  return o.residual(h, shortcut, p.skipGain, alpha);
}

/** `nfnet.py: NFNet` without dropout and stochastic depth: logits. `configs` are the model's blocks. */
export function nfnet(o, p, x, configs) {
  let h = wsConv(o, p.stem.conv0, x, { stride: 2 });
  h = wsConv(o, p.stem.conv1, o.act(h));
  h = wsConv(o, p.stem.conv2, o.act(h));
  h = wsConv(o, p.stem.conv3, o.act(h), { stride: 2 });
  configs.forEach((config, i) => {
    h = block(o, p.blocks[i], h, config);
  });
  h = o.mean(o.act(wsConv(o, p.finalConv, h)));
  return o.linear(h, p.linear.w, p.linear.b);
}

/** How one parameter is updated (`experiment_nfnets.py`): no decay of gains and biases, no clipping of the classifier. */
export function rulesOf(path, { weightDecay, clipping }) {
  const name = path.split("/").at(-1);
  const plain = name !== "w";
  return {
    weightDecay: plain ? 0 : weightDecay,
    clipping: path === "linear/w" ? null : clipping,
  };
}

/** The axes that a unit's norm sums over in HWIO; null: all. */
export const unitAxes = (shape) =>
  shape.length === 4 ? [0, 1, 2] : shape.length === 2 ? [0] : null;

/** AGC, decay, Nesterov momentum in f64: `optim.py: SGD_AGC`. Gives the new parameter and momentum. */
export function stepped(w, g, m, shape, { weightDecay, clipping }, { lr, momentum }) {
  const cols = unitAxes(shape) ? shape.at(-1) : 1;
  const norms = (v) => {
    const sums = new Float64Array(cols);
    for (let i = 0; i < v.length; i++) sums[i % cols] += v[i] * v[i];
    return sums.map(Math.sqrt);
  };
  const [most, size] = [norms(w).map((n) => clipping * Math.max(n, 1e-3)), norms(g)];
  const factor = (c) =>
    clipping !== null && size[c] > most[c] ? most[c] / Math.max(size[c], 1e-6) : 1;
  const next = g.map((v, i) => momentum * m[i] + v * factor(i % cols) + weightDecay * w[i]);
  const moved = w.map(
    (v, i) => v - lr * (g[i] * factor(i % cols) + weightDecay * v + momentum * next[i]),
  );
  return [moved, next];
}
