// `npm run demo:web`: builds the pages and serves them on this machine until it is stopped.
//
//   node demo/serve.mjs [--port N]
import { parseArgs } from "node:util";
import { serve } from "../tools/serve.mjs";
import { buildPages } from "./build.mjs";

async function main() {
  const { values } = parseArgs({ options: { port: { type: "string", default: "8080" } } });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error(`--port is a number from 0 to 65535, got ${values.port}`);
  const { url } = await serve(await buildPages(), { port });
  console.log(`nfgrad in a browser: ${url}`);
}

main().catch(({ code, message }) => {
  const taken = "is in use; name another: npm run demo:web -- --port 8081";
  console.error(`error: demo:web: ${code === "EADDRINUSE" ? `the port ${taken}` : message}`);
  process.exitCode = 1;
});
