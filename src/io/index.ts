// What `io` exports.
export { load, type Meta, openFile, save, writeCheckpoint } from "./checkpoint.ts";
