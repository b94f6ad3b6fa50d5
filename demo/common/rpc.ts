// Typed calls from a page to its worker, and events back. Errors come across with their class and message.
import * as errors from "../../src/errors.ts";

/** What a worker answers: functions by name, async or not. */
export type Handlers = { readonly [name: string]: (...args: never[]) => unknown };
/** The same functions as the page sees them. Arguments and results are structured clones. */
export type Calls<H> = {
  readonly [K in keyof H]: H[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never;
};

/** What of a Worker, or of a worker's own global scope, is used here. */
export interface Port {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: (event: MessageEvent<unknown>) => void): void;
}

interface Plain {
  readonly name: string;
  readonly message: string;
}
type Message =
  | { readonly call: number; readonly name: string; readonly args: readonly unknown[] }
  | { readonly answer: number; readonly value?: unknown; readonly error?: Plain }
  | { readonly event: string; readonly value: unknown };

const known = errors as unknown as Readonly<Record<string, new (message: string) => Error>>;
const plain = (e: unknown): Plain =>
  e instanceof Error ? { name: e.name, message: e.message } : { name: "Error", message: String(e) };
function revived({ name, message }: Plain): Error {
  const kind = Object.hasOwn(known, name) ? known[name] : undefined;
  return kind ? new kind(message) : Object.assign(new Error(message), { name });
}

/** In the worker: answers calls. Returns a function that sends an event to the page. */
export function answer<E extends object>(
  handlers: Handlers,
  port: Port = globalThis as unknown as Port,
): <K extends keyof E & string>(event: K, value: E[K]) => void {
  port.addEventListener("message", async ({ data }) => {
    const message = data as Message;
    if (!("call" in message)) return;
    const { call, name, args } = message;
    try {
      const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
      if (!handler) throw new Error(`the worker has no "${name}"`);
      port.postMessage({ answer: call, value: await handler(...(args as never[])) });
    } catch (error) {
      port.postMessage({ answer: call, error: plain(error) });
    }
  });
  return (event, value) => port.postMessage({ event, value });
}

export interface Connection<H, E> {
  readonly call: Calls<H>;
  on<K extends keyof E & string>(event: K, listener: (value: E[K]) => void): void;
}

/** On the page: calls to a worker. A worker that does not load or throws outside a call fails all calls. */
export function connect<H extends object, E extends object>(worker: Worker): Connection<H, E> {
  type Waiting = { done(value: unknown): void; failed(error: Error): void };
  const waiting = new Map<number, Waiting>();
  const listeners = new Map<string, (value: never) => void>();
  let calls = 0;
  let broken: Error | null = null;
  worker.addEventListener("message", ({ data }) => {
    const message = data as Message;
    if ("event" in message) listeners.get(message.event)?.(message.value as never);
    if (!("answer" in message)) return;
    const call = waiting.get(message.answer);
    waiting.delete(message.answer);
    if (message.error) call?.failed(revived(message.error));
    else call?.done(message.value);
  });
  worker.addEventListener("error", (event) => {
    broken = new Error(event.message || "the worker did not load");
    for (const { failed } of waiting.values()) failed(broken);
    waiting.clear();
  });
  const send = (name: string, args: readonly unknown[]) =>
    new Promise((done, failed) => {
      if (broken) return failed(broken);
      waiting.set(++calls, { done, failed });
      worker.postMessage({ call: calls, name, args });
    });
  const call = new Proxy({} as Calls<H>, {
    get:
      (_, name: string) =>
      (...args: unknown[]) =>
        send(name, args),
  });
  return { call, on: (event, listener) => void listeners.set(event, listener) };
}
