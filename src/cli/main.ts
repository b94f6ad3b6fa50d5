#!/usr/bin/env node
// The `nfgrad` command: finds the subcommand, runs it, turns errors into one line and exit code 1.
import { OptionError } from "../errors.ts";
import { type Command, help, read } from "./args.ts";
import { bench } from "./bench.ts";
import { classify } from "./classify.ts";
import { info, version } from "./info.ts";
import { parity } from "./parity.ts";
import { train } from "./train.ts";
import { tune } from "./tune.ts";

const commands: readonly Command[] = [train, classify, info, parity, bench, tune];

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return [
    "nfgrad: Normalizer-Free Networks on WebGPU",
    "",
    "usage: nfgrad COMMAND [options]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    "",
    "nfgrad COMMAND --help shows a command's options, nfgrad --version the version.",
  ].join("\n");
}

async function main(args: readonly string[]): Promise<void> {
  const [name = "", ...rest] = args;
  if (["", "help", "--help", "-h"].includes(name)) return console.log(overview());
  if (name === "--version" || name === "-v") return console.log(version());
  const command = commands.find((c) => c.name === name);
  if (!command) {
    const names = commands.map((c) => c.name).join(", ");
    throw new OptionError(`nfgrad: unknown command '${name}', expected one of ${names}`);
  }
  if (rest.includes("--help")) return console.log(help(command));
  const { values, operands } = read(command, rest);
  await command.run(values, operands);
}

const args = process.argv.slice(2);
try {
  await main(args);
} catch (error) {
  const { stack, message } = error instanceof Error ? error : new Error(String(error));
  console.error(args.includes("--debug") ? stack : `error: ${message}`);
  process.exitCode = 1;
}
