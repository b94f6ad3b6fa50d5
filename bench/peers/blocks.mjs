// An NF block through the tape, and a whole training step of the demo network: the same mathematics in every library,
// all gradients and updated parameters held to f64.
import { nn, ops, optim, tree, valueAndGrad, vjp } from "../../dist/index.js";
import { variantByName } from "../../dist/train/index.js";
import { jaxOperations, jaxStep } from "./jax.mjs";
import { block, nfnet, rulesOf, shapesOf, stepped, treeOf } from "./nets.mjs";
import { reference, sizeOf, smoothedLoss } from "./reference.mjs";
import { ourRunner } from "./runners.mjs";
import { tfOperations, tfStep } from "./tfjs.mjs";

/** Inputs for the parameters of a spec: all of them count, as after some training. */
function parameterInputs(spec) {
  const start = (path, shape) => {
    const name = path.split("/").at(-1);
    if (name === "w") {
      const fanIn = sizeOf(shape) / shape.at(-1);
      const kind = shape.length === 4 ? "weight" : undefined;
      return { shape, kind, scale: Math.sqrt(3 / fanIn) };
    }
    if (name === "gain") return { shape, scale: 0.2, offset: 1 };
    if (name === "skipGain") return { shape, scale: 0.2, offset: 0.5 };
    return { shape, scale: 0.1 };
  };
  return Object.fromEntries(
    Object.entries(shapesOf(spec)).map(([path, shape]) => [path, start(path, shape)]),
  );
}

const at = (root, path) => path.split("/").reduce((node, part) => node[part], root);

/** nfgrad's parameters in arenas, with the values of `hosts`. */
async function parameters(gpu, spec, paths, hosts) {
  const params = gpu.init(spec, { zeros: true });
  await gpu.assign(
    params,
    treeOf(
      paths,
      paths.map((path) => hosts[path]),
    ),
  );
  return params;
}

/** An F0 block without a shortcut's convolution: forward, and the gradients of x and all parameters. */
export function blockOperation() {
  const [size, ch] = [24, 512];
  const options = { alpha: 0.2, beta: 1 / Math.sqrt(1 + 0.2 ** 2) };
  const own = nn.nfBlock({ inCh: ch, outCh: ch, ...options });
  const image = { shape: [1, size, size, ch], kind: "image" };
  const params = parameterInputs(own.spec);
  const paths = Object.keys(params);
  const { config } = own;
  const { width, groups } = config;
  return {
    name: "NF block forward + backward (1,24,24,512)",
    kind: "network",
    flops: 3 * 2 * size ** 2 * (2 * ch * width + (2 * 9 * width * width) / groups),
    inputs: { x: image, dy: image, ...params },
    outs: [image, ...Object.values(params)],
    expected({ x, dy, ...data }) {
      const { o, backward } = reference();
      const nodes = paths.map((path) => o.input(data[path], params[path].shape));
      const input = o.input(x, image.shape);
      const y = block(o, treeOf(paths, nodes), input, config);
      return backward(y, dy, [input, ...nodes]);
    },
    prepare: {
      async ours(gpu, { x, dy, ...hosts }) {
        const p = await parameters(gpu, own.spec, paths, hosts);
        const [a, d] = [x, dy].map(({ data, shape }) => gpu.tensor(data, shape));
        const apply = (q) => own(q.p, q.x, { train: false });
        const recorded = gpu.record(() => vjp(apply)({ p, x: a }, d).grads, { name: "nfBlock" });
        const results = (grads) => [grads.x, ...paths.map((path) => at(grads.p, path))];
        const dispose = () => {
          tree.dispose(p);
          for (const t of [a, d]) t.dispose();
        };
        return ourRunner(gpu, recorded, dispose, results);
      },
    },
    "jax-js": (jax) => {
      const o = jaxOperations(jax);
      const f = (x, dy, ...ps) => {
        const y = block(o, treeOf(paths, ps), x, config);
        return jax.numpy.sum(y.mul(dy));
      };
      return jax.grad(f, { argnums: [0, ...paths.map((_, i) => i + 2)] });
    },
    tfjs: (tf) => {
      const o = tfOperations(tf);
      const f = (x, ...ps) => block(o, treeOf(paths, ps), x, config);
      return (x, dy, ...ps) => tf.grads(f)([x, ...ps], dy);
    },
  };
}

const CLASSES = 10;
/** Batches on the host, taken in turn: each step uploads one, as a user's would. */
const BATCHES = 4;

/** Forward, loss, gradients, clipping and update of the demo's network, with its batch. */
export function stepOperation() {
  const { sizes, options, recipe } = variantByName("demo");
  const { batch, smoothing, lr, momentum, weightDecay, clipping } = recipe;
  const size = sizes.trainImsize;
  const settings = { weightDecay, clipping };
  const model = nn.nfnet({ ...options, variant: sizes, numClasses: CLASSES });
  const params = parameterInputs(model.spec);
  const paths = Object.keys(params);
  const rules = paths.map((path) => rulesOf(path, settings));
  const image = { shape: [batch, size, size, 3], kind: "image" };
  const images = Object.fromEntries(
    Array.from({ length: BATCHES }, (_, i) => [`x${i}`, { ...image }]),
  );
  const labelsOf = (turn) =>
    Uint32Array.from({ length: batch }, (_, i) => (i * 7 + turn * 3) % CLASSES);
  /** `step(x, labels)` with the next batch at each call. */
  const inTurn = (hosts, step) => {
    let turn = 0;
    return () => {
      const i = turn++ % BATCHES;
      return step(hosts[`x${i}`], labelsOf(i));
    };
  };
  return {
    name: "training step of the demo net",
    kind: "network",
    flops: 3 * 2 * batch * model.countFlops(size, size).total,
    inputs: { ...images, ...params },
    outs: [{ shape: [] }, ...Object.values(params), ...Object.values(params)],
    expected({ x0, ...data }) {
      const { o, backward } = reference();
      const nodes = paths.map((path) => o.input(data[path], params[path].shape));
      const logits = nfnet(o, treeOf(paths, nodes), o.input(x0, image.shape), model.blocks);
      const { loss, grad } = smoothedLoss(logits, labelsOf(0), smoothing);
      const moved = backward(logits, grad, nodes).map(({ data: g, scale }, i) => {
        const { data: w, shape } = nodes[i];
        const still = new Float64Array(w.length);
        const [data, m] = stepped(w, g, still, shape, rules[i], { lr, momentum });
        return [{ data }, { data: m, scale }];
      });
      return [{ data: [loss] }, ...moved.map(([w]) => w), ...moved.map(([, m]) => m)];
    },
    prepare: {
      async ours(gpu, hosts) {
        const p = await parameters(gpu, model.spec, paths, hosts);
        const groups = optim.nfnetGroups(model);
        const opt = optim.sgdAgc(p, { ...settings, momentum, nesterov: true, groups });
        const lossAndGrad = valueAndGrad((q, x, labels) =>
          ops.softmaxCrossEntropy(model(q, x, { train: true }), labels, { smoothing }),
        );
        const step = gpu.record(
          (x, labels, rate) => {
            const { value, grads } = lossAndGrad(p, x, labels);
            opt.update(grads, { lr: rate });
            return value;
          },
          { name: "trainStep" },
        );
        const next = inTurn(hosts, ({ data, shape }, labels) => step({ data, shape }, labels, lr));
        const results = (loss) => [
          loss,
          ...paths.map((path) => at(p, path)),
          ...paths.map((path) => at(opt.state.momentum, path)),
        ];
        const dispose = () => {
          step.dispose();
          opt.dispose?.();
          tree.dispose(p);
        };
        return ourRunner(gpu, next, dispose, results);
      },
      "jax-js": (peer, hosts) => {
        const { library: jax, array } = peer;
        const { numpy: np } = jax;
        const o = jaxOperations(jax);
        const loss = (ps, x, labels) =>
          o.loss(nfnet(o, treeOf(paths, ps), x, model.blocks), labels, smoothing);
        const step = jaxStep(jax, loss, rules, momentum);
        let w = paths.map((path) => array(hosts[path]));
        let m = paths.map((path) => np.zeros(hosts[path].shape));
        const next = inTurn(hosts, (x, labels) =>
          step(w, m, array(x), np.array(Int32Array.from(labels), { dtype: np.int32 }), lr),
        );
        return {
          call() {
            const [value, ...state] = next();
            [w, m] = state;
            const all = [value, ...w, ...m];
            return {
              done: () => jax.blockUntilReady(value),
              read: () => Promise.all(all.map((a) => a.ref.data())),
              drop: () => value.dispose(),
            };
          },
          close() {
            for (const a of [...w, ...m]) a.dispose();
          },
        };
      },
      tfjs: (peer, hosts) => {
        const { library: tf, array } = peer;
        const o = tfOperations(tf);
        const w = paths.map((path) => tf.variable(array(hosts[path])));
        const m = paths.map((path) => tf.variable(tf.zeros(hosts[path].shape), false));
        const loss = (ps, x, labels) =>
          o.loss(nfnet(o, treeOf(paths, ps), x, model.blocks), labels, smoothing);
        const step = tfStep(tf, w, m, loss, rules, momentum);
        const next = inTurn(hosts, (x, labels) =>
          step(array(x), tf.tensor1d(Int32Array.from(labels), "int32"), lr),
        );
        const call = peer.prepare(next);
        return {
          async call() {
            const { read, ...rest } = call([]);
            const state = async () => {
              const [value] = await read();
              return [value, ...(await Promise.all([...w, ...m].map((v) => v.data())))];
            };
            return { ...rest, read: state };
          },
          close: () => tf.dispose([...w, ...m]),
        };
      },
    },
  };
}
