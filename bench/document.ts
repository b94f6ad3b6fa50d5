// Results' places in a Markdown document: between two marks; the rest of the document stays.
import { FormatError } from "../src/index.ts";

const marks = (name: string) => [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`] as const;

/**
 * The document (null: a new one) with `body` between the marks of that name.
 * @throws FormatError if the marks are not there; `file` is named in it.
 */
export function withReport(
  document: string | null,
  body: string,
  file: string,
  name = "results",
): string {
  const [first, last] = marks(name);
  const text = document ?? `# nfgrad bench\n\n${first}\n${last}\n`;
  const [begin, end] = [text.indexOf(first), text.indexOf(last)];
  if (begin < 0 || end < begin)
    throw new FormatError(
      `${file}: it exists, and has no lines ${first} and ${last} to write between`,
    );
  return `${text.slice(0, begin)}${first}\n\n${body}\n${text.slice(end)}`;
}
