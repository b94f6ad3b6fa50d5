// A static web server for the pages and the browser tests: files of folders, the right types, nothing else.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, resolve, sep } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".jpg": "image/jpeg",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webp": "image/webp",
};

/** The file of a path below `folder`, or null: no file, or a way out of the folder. */
async function fileOf(folder, path) {
  const root = resolve(folder);
  const file = resolve(join(root, path.endsWith("/") ? `${path}index.html` : path));
  if (!file.startsWith(root + sep)) return null;
  const found = await stat(file).catch(() => null);
  return found?.isFile() ? { file, size: found.size } : null;
}

/**
 * Serves `folder` at `url` (127.0.0.1, so that a page is a secure context) until `close()`.
 * `mounts`: other folders by the path that they appear under, such as `{ "/golden/": "parity/golden" }`.
 * `port` 0 takes a free one. Rejects if the port is taken.
 */
export async function serve(folder, { port = 0, mounts = {} } = {}) {
  const server = createServer(async ({ method, url }, response) => {
    const refuse = (status) => response.writeHead(status).end();
    if (method !== "GET" && method !== "HEAD") return refuse(405);
    let path;
    try {
      path = decodeURIComponent(new URL(url ?? "/", "http://localhost").pathname);
    } catch {
      return refuse(400);
    }
    if (path.includes("\0")) return refuse(400);
    const mount = Object.keys(mounts).find((prefix) => path.startsWith(prefix));
    const found = mount
      ? await fileOf(mounts[mount], `/${path.slice(mount.length)}`)
      : await fileOf(folder, path);
    if (!found) return refuse(404);
    response.writeHead(200, {
      "content-type": TYPES[extname(found.file)] ?? "application/octet-stream",
      "content-length": found.size,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    if (method === "HEAD") return response.end();
    createReadStream(found.file)
      .on("error", () => response.destroy())
      .pipe(response);
  });
  await new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(port, "127.0.0.1", done);
  });
  const close = () =>
    new Promise((done) => {
      server.close(() => done());
      server.closeAllConnections(); // browsers keep theirs open, and would keep this process alive
    });
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}
