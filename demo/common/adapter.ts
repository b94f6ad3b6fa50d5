// What a page calls the visitor's adapter.
import { adapterOf } from "../../bench/row.ts";
import type { AdapterInfo } from "../../src/index.ts";

/** Its name and its driver; some browsers tell neither. */
export function adapterName(info: AdapterInfo): { name: string; driver: string } {
  const { adapter, driver } = adapterOf(info);
  return { name: adapter === "unnamed" ? "not named by this browser" : adapter, driver };
}
