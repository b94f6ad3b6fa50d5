// Types of serve.mjs for the tests.

export interface Server {
  /** With a slash at its end. */
  readonly url: string;
  close(): Promise<void>;
}
export function serve(
  folder: string,
  options?: { readonly port?: number; readonly mounts?: Readonly<Record<string, string>> },
): Promise<Server>;
