// From an operation to something that can be called again and again, for nfgrad and for each peer. A call starts the
// work, and gives a promise of the device's end, a way to read the results, and one to drop them.

import { randomData } from "../../dist/bench/case.js";
import { grad, ops, tree, vjp } from "../../dist/index.js";
import { channelsFirst, channelsLast } from "./layout.mjs";
import { sizeOf } from "./reference.mjs";

/** The inputs of an operation: uniform in `offset + [-scale, scale)`, new for each run of the command. */
export const hostInputs = ({ name, inputs }, seed) =>
  Object.fromEntries(
    Object.entries(inputs).map(([key, { shape, kind, scale = 1, offset = 0 }]) => {
      const data = randomData(`${seed} ${name} ${key}`, sizeOf(shape));
      if (scale !== 1 || offset !== 0)
        for (let i = 0; i < data.length; i++) data[i] = offset + data[i] * scale;
      return [key, { data, shape, kind }];
    }),
  );

const mapValues = (object, f) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]));

/** A recorded function of nfgrad as a runner; `results` lists its tensors. */
export const ourRunner = (gpu, recorded, dispose, results = listed) => ({
  call() {
    const result = recorded();
    return {
      done: () => gpu.sync(),
      read: () => Promise.all(results(result).map((t) => t.data())),
      drop() {},
    };
  },
  close() {
    recorded.dispose?.();
    dispose();
  },
});
const listed = (result) => tree.leaves(result).map(({ tensor }) => tensor);

/** nfgrad's: recorded, on tensors that are on the device. */
export async function ours(gpu, op, hosts) {
  if (op.prepare) return op.prepare.ours(gpu, hosts);
  const tensors = mapValues(hosts, ({ data, shape }) => gpu.tensor(data, shape));
  const recorded = gpu.record(() => op.ours(tensors, { grad, ops, vjp }), { name: op.name });
  return ourRunner(gpu, recorded, () => {
    for (const t of Object.values(tensors)) t.dispose();
  });
}

/** A peer's, or null if it has no such operation. Results come back in NHWC and HWIO. */
export async function theirs(peer, op, hosts) {
  const first = peer.channels === "first";
  const given = first ? mapValues(hosts, channelsFirst) : hosts;
  const runner = await runnerOf(peer, op, given);
  if (!runner || !first) return runner;
  const back = (data, i) => channelsLast(data, op.outs[i].shape, op.outs[i].kind);
  return {
    ...runner,
    async call() {
      const { read, ...rest } = await runner.call();
      return { ...rest, read: async () => (await read()).map(back) };
    },
  };
}

function runnerOf(peer, op, given) {
  if (peer.name === "ort") {
    if (!op.ort) return null;
    const [out] = op.outs;
    const shape = channelsFirst({ ...out, data: [] }).shape;
    return peer.session({ ...op.ort, inputs: given, out: shape });
  }
  if (op.prepare?.[peer.name]) return op.prepare[peer.name](peer, given);
  const make = op[peer.name];
  if (!make) return null;
  const arrays = Object.values(given).map((host) => peer.array(host));
  const f = make(peer.library);
  const call = peer.prepare(f, { whole: f.whole ?? false });
  return {
    call: () => call(arrays),
    close() {
      for (const a of arrays) a.dispose();
    },
  };
}
