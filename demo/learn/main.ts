// The Learn page: a network trains in a worker, and this page shows what it does.
import { byId } from "../common/dom.ts";
import { webgpuOrHelp } from "../common/noWebgpu.ts";
import { shell } from "../common/shell.ts";

shell("learn");
await webgpuOrHelp(byId("main", HTMLElement));
