// Looks at dist/ as a user gets it: imports, declarations, shaders, the browser's file, and the command from its
// first option to a trained network. Run by `npm test` after the build. Prints what is wrong; exit code 1.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "nfgrad-dist-"));
const read = (file) => readFileSync(join(root, file), "utf8");
let environment = process.env;
const run = (...args) => {
  const options = { cwd: work, encoding: "utf8", timeout: 300_000, env: environment };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  const errors = stderr.replace(/^Warning: max.*\n/gm, ""); // Dawn's, on software adapters
  return { status, stdout, errors };
};
const nfgrad = (...args) => run(join(root, "dist/cli/main.js"), ...args);

/** Comments are gone, but each line is where it was and the first one names the file. */
async function shaders() {
  const files = readdirSync(join(root, "shaders"), { recursive: true }).filter((f) =>
    f.endsWith(".wgsl"),
  );
  for (const file of files) {
    const built = join(root, "dist/shaders", `${file}.js`);
    const source = read(`shaders/${file}`);
    const { default: text } = await import(built).catch(() => ({ default: null }));
    if (text === null) continue; // no entry uses it
    assert.equal(text.split("\n").length, source.split("\n").length, file);
    assert.match(text, new RegExp(`^// shaders/${file.replaceAll("\\", "/")}`), file);
    assert.doesNotMatch(text.slice(text.indexOf("\n")), /\/\/|\/\*/, file);
  }
}

function browserFile() {
  const code = read("dist/nfgrad.browser.min.js");
  assert.doesNotMatch(code, /["']webgpu["']|["']node:|\brequire\(/);
  assert.match(code, /navigator\.gpu/);
  assert.doesNotMatch(code, /Carassius/); // ImageNet's class names are an entry of their own
}

/** A bundle holds what it uses: one op brings no model, no convolution, no optimizer. */
async function shakes() {
  const entry = join(work, "one.mjs");
  const from = JSON.stringify(join(root, "dist/index.js"));
  writeFileSync(
    entry,
    `import { openGpu, ops } from ${from};\nexport { openGpu };\nexport const f = (x) => ops.softmax(x);\n`,
  );
  const bundle = await rolldown({ input: entry, platform: "browser", tsconfig: false });
  const { output } = await bundle.generate({ format: "esm", minify: true });
  await bundle.close();
  const [{ code, modules }] = output;
  assert.match(code, /shaders\/softmax\.wgsl/);
  const kept = Object.entries(modules)
    .filter(([, { renderedLength }]) => renderedLength > 0)
    .map(([file]) => relative(join(root, "dist"), file).replaceAll("\\", "/"));
  const needed = /^shaders\/(lib\/.*|(softmax|map|strided|reduce|accumulate)\.wgsl\.js)$/;
  const others = kept.filter(
    (file) => /^(nn|optim|io|train)\//.test(file) || (/^shaders/.test(file) && !needed.test(file)),
  );
  assert.deepEqual(others, []);
  const kb = (text) => `${(gzipSync(text).length / 1024).toFixed(1)} kB`;
  console.log(`ops.softmax alone: ${kb(code)} gzipped`);
}

/** A user's program, by the package's own name, with its types. */
function library() {
  const program = `
    import { type Gpu, openGpu, ops, type Tensor } from "nfgrad";
    import { imagenetClasses } from "nfgrad/imagenet";
    import * as parity from "nfgrad/parity";
    import type * as whole from "nfgrad/nfgrad.browser.min.js";
    export const same: typeof whole.ops.mul = ops.mul;
    const gpu: Gpu = await openGpu();
    const y: Tensor = ops.mul(gpu.tensor([1, 2, 3]), gpu.tensor([2, 2, 2]));
    console.log([...(await y.data())].join(), typeof parity.run, imagenetClasses[1]);
    await gpu.close();
  `;
  const file = join(root, "dist", "user.mts"); // inside the package, so that it finds itself
  writeFileSync(file, program);
  try {
    const options = "--strict --target es2022 --module nodenext --moduleResolution nodenext";
    const types = "--types node --typeRoots";
    const tsc = run(
      join(root, "node_modules/typescript/bin/tsc"),
      ...options.split(" "),
      ...types.split(" "),
      join(root, "node_modules/@types"),
      file,
    );
    assert.equal(tsc.stdout, "");
    const { stdout, errors, status } = run(join(root, "dist/user.mjs"));
    assert.deepEqual(
      [stdout, errors, status],
      ["2,4,6 function goldfish, Carassius auratus\n", "", 0],
    );
  } finally {
    for (const name of ["user.mts", "user.mjs"]) rmSync(join(root, "dist", name), { force: true });
  }
}

/** Four classes of bars, as IDX files: 12x12, learnt in seconds. */
function writeBars() {
  const idx = (sizes, data) => {
    const header = Buffer.alloc(4 + 4 * sizes.length);
    [0x800 + sizes.length, ...sizes].forEach((n, i) => void header.writeUInt32BE(n, 4 * i));
    return Buffer.concat([header, Uint8Array.from(data)]);
  };
  for (const [part, count] of Object.entries({ train: 64, t10k: 16 })) {
    const pixel = (_, at) => {
      const [n, y, x] = [Math.floor(at / 144), Math.floor((at % 144) / 12), at % 12];
      const across = [x - 6, y - 6, x - y, x + y - 11][n % 4] + ((n >> 2) % 3) - 1;
      return Math.abs(across) < 2 ? 220 : 10;
    };
    const pixels = Array.from({ length: count * 144 }, pixel);
    writeFileSync(join(work, `${part}-images-idx3-ubyte`), idx([count, 12, 12], pixels));
    const labels = Array.from({ length: count }, (_, n) => n % 4);
    writeFileSync(join(work, `${part}-labels-idx1-ubyte`), idx([count], labels));
  }
}

/** Without an adapter there is one error that says what to do. */
function noAdapter() {
  if (process.platform !== "linux") return;
  const nowhere = join(work, "nowhere");
  const hidden = {
    VK_DRIVER_FILES: nowhere,
    SOFTWARE_GPU_CACHE: nowhere,
    SOFTWARE_GPU_PRIVATE: "1",
  };
  environment = { ...process.env, ...hidden };
  const { status, errors } = nfgrad("info");
  environment = process.env;
  assert.match(errors, /^error: openGpu: no .*adapter.*software-gpu\.sh/m);
  assert.equal(status, 1);
}

async function command() {
  const wrong = nfgrad("train", "--epoch", "3");
  const message = "error: nfgrad train: unknown option '--epoch'; see nfgrad train --help\n";
  assert.deepEqual([wrong.errors, wrong.status], [message, 1]);
  assert.match(nfgrad("--help").stdout, /train .*\n.*classify .*\n.*info .*\n.*parity /);
  assert.match(nfgrad("info").stdout, /^nfgrad \d.*\nadapter: .*\((soft|hard)ware\)\n/);

  writeBars();
  const checkpoint = "net/bars.safetensors";
  const data = ["--data", work, "--classes", "4"];
  const options = [...data, "--epochs", "12", "--batch", "16"];
  const trained = nfgrad("train", ...options, "--out", checkpoint);
  assert.deepEqual([trained.errors, trained.status], ["", 0]);
  assert.match(trained.stdout, /^adapter: /);
  assert.match(trained.stdout, /epoch 12\/12 .* images\/s {2}test 100\.0 %\n/);
  assert.match(trained.stdout, /right: predicted 0, is 0/);
  assert.match(trained.stdout, /█/);
  assert.match(trained.stdout, /\ntest accuracy 100\.0 % \(16\/16\)\n$/);
  assert.deepEqual(readdirSync(join(work, "net")), ["bars.safetensors"]);

  const sharp = (await import("sharp")).default;
  const [width, height] = [24, 24]; // dark on light, upright
  const grey = Uint8Array.from({ length: 576 }, (_, i) => (Math.abs((i % 24) - 12) < 3 ? 30 : 255));
  const raw = { width, height, channels: 1 };
  await sharp(grey, { raw }).png().toFile(join(work, "upright.png"));
  const { stdout, errors, status } = nfgrad("classify", "upright.png", "--weights", checkpoint);
  assert.deepEqual([errors, status], ["", 0]);
  assert.match(
    stdout,
    /\nupright\.png {2}\[dark on light: inverted\]\nclass: 0\.\n +\d\d\.\d % {2}0\n/,
  );

  // The same network under Haiku's names, as a released one comes.
  const haiku = "net/bars.npz";
  const converted = nfgrad("train", ...data, "--resume", checkpoint, "--haiku", haiku);
  assert.deepEqual([converted.errors, converted.status], ["", 0]);
  const seen = nfgrad("classify", "upright.png", "--weights", haiku, "--topk", "2", "--json");
  assert.equal(seen.status, 0);
  assert.match(seen.errors, /^adapter: .*\nnetwork: NFNet-demo, .* 4 classes\n$/);
  const { images } = JSON.parse(seen.stdout);
  assert.deepEqual([images.length, images[0].name, images[0].top.length], [1, "0", 2]);
  assert.match(stdout, new RegExp(`${(100 * images[0].top[0].probability).toFixed(1)} %`));
}

try {
  await shaders();
  browserFile();
  await shakes();
  library();
  noAdapter();
  await command();
} finally {
  rmSync(work, { recursive: true });
}
