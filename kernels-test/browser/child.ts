// The suite in a process of its own, so that it has the driver and the adapter that its environment says.
import { runSuite, type SuiteOptions } from "./suite.ts";

const say = (message: unknown): void => {
  process.stdout.write(`nfgrad ${JSON.stringify(message)}\n`);
};
const options = JSON.parse(process.argv[2] ?? "{}") as SuiteOptions;
runSuite(options, say).catch((error: unknown) => say({ kind: "failed", error: String(error) }));
