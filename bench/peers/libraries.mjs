// The peers: how each is opened on an adapter, takes data, is waited for, and is read. Knows no operation.

const WRITE = 0x80 | 4 | 8; // STORAGE | COPY_SRC | COPY_DST

/** jax-js: `jit` is its own best form. Arrays are used up by calls; `ref` keeps them. */
export async function openJax() {
  const jax = await import("@jax-js/jax");
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  const { numpy: np } = jax;
  return {
    name: "jax-js",
    library: jax,
    channels: "first",
    array: ({ data, shape }) => np.array(data, { shape: [...shape], dtype: np.float32 }),
    /** A call that starts the work, and gives a promise of its end and a way to read and drop the result. */
    prepare(f, { whole = false } = {}) {
      const compiled = whole ? f : jax.jit(f);
      return (args) => {
        const out = compiled(...args.map((a) => a.ref));
        const all = Array.isArray(out) ? out : [out];
        return {
          // One result stands for all of a call: waiting for each would be a readback each.
          done: () => jax.blockUntilReady(all.at(-1)),
          read: () => Promise.all(all.map((a) => a.ref.data())),
          drop: () => {
            for (const a of all) a.dispose();
          },
        };
      };
    },
  };
}

/** TensorFlow.js with its WebGPU backend. It collects commands: the queue is submitted by hand. */
export async function openTfjs() {
  const tf = await import("@tensorflow/tfjs");
  await import("@tensorflow/tfjs-backend-webgpu");
  tf.enableProdMode();
  await tf.setBackend("webgpu");
  await tf.ready();
  const backend = tf.backend();
  return {
    name: "tfjs",
    library: tf,
    channels: "last",
    array: ({ data, shape }) => tf.tensor(data, [...shape]),
    prepare: (f) => (args) => {
      const out = tf.tidy(() => f(...args));
      const all = Array.isArray(out) ? out : [out];
      if (backend.commandEncoder) {
        backend.endComputePassEncoder?.();
        backend.submitQueue();
      }
      return {
        done: () => backend.device.queue.onSubmittedWorkDone(),
        read: () => Promise.all(all.map((t) => t.data())),
        drop: () => tf.dispose(out),
      };
    },
  };
}

/** ONNX Runtime Web. Inputs and results stay in GPU buffers. */
export async function openOrt() {
  copySharedUploads();
  const ort = await import("onnxruntime-web/webgpu");
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const { model } = await import("./onnx.mjs");
  return {
    name: "ort",
    library: ort,
    channels: "first",
    async session({ op, inputs, out, attributes }) {
      const shapes = Object.fromEntries(Object.entries(inputs).map(([k, v]) => [k, v.shape]));
      const session = await ort.InferenceSession.create(model(op, shapes, out, attributes), {
        executionProviders: ["webgpu"],
        preferredOutputLocation: "gpu-buffer",
      });
      const device = await ort.env.webgpu.device;
      const buffers = [];
      const feeds = {};
      for (const [name, { data, shape }] of Object.entries(inputs)) {
        const buffer = device.createBuffer({ size: data.byteLength, usage: WRITE });
        device.queue.writeBuffer(buffer, 0, data);
        buffers.push(buffer);
        feeds[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [...shape] });
      }
      return {
        async call() {
          const { out: result } = await session.run(feeds);
          return {
            done: () => device.queue.onSubmittedWorkDone(),
            read: async () => [await result.getData()],
            drop: () => result.dispose(),
          };
        },
        async close() {
          await session.release();
          for (const buffer of buffers) buffer.destroy();
        },
      };
    },
  };
}

/** ONNX Runtime uploads from a SharedArrayBuffer, which Dawn's binding for Node does not read. */
function copySharedUploads() {
  const { writeBuffer } = GPUQueue.prototype;
  GPUQueue.prototype.writeBuffer = function (buffer, offset, data, from = 0, size = undefined) {
    const memory = data.buffer ?? data;
    if (!(memory instanceof SharedArrayBuffer)) {
      const rest = size === undefined ? [from] : [from, size];
      return writeBuffer.call(this, buffer, offset, data, ...rest);
    }
    const unit = data.BYTES_PER_ELEMENT ?? 1;
    const start = (data.byteOffset ?? 0) + from * unit;
    const length = size === undefined ? data.byteLength - from * unit : size * unit;
    return writeBuffer.call(
      this,
      buffer,
      offset,
      new Uint8Array(memory, start, length).slice().buffer,
    );
  };
}
