// The page of the suite: takes what to run from its address, reports on the console.
import { runSuite, type SuiteOptions } from "./suite.ts";

/** Before each message on the console; anything else there is noise. */
const PREFIX = "nfgrad ";
const say = (message: unknown): void => console.info(PREFIX + JSON.stringify(message));

const options = JSON.parse(decodeURIComponent(location.hash.slice(1))) as SuiteOptions;
runSuite(options, say).catch((error: unknown) => say({ kind: "failed", error: String(error) }));
