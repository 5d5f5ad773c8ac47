/**
 * The `holdfast` command. Answers go to stdout, everything else to stderr; the exit codes are in cli/command.ts.
 *
 * bin/holdfast.mjs starts it with the right Node.
 */
import { ApiError, UnreachableError } from './cli/api-client.ts';
import {
  type Command,
  CommandError,
  EXIT,
  type Output,
  runningState,
  UsageError,
} from './cli/command.ts';
import { harmless } from './cli/terminal-text.ts';
import { type Config, ConfigError, loadConfig, ownEnvironment } from './config.ts';

type Entry = { summary: string; load: () => Promise<{ run: Command; usage: string }> };

/** Loaded when it is called: `holdfast --help` need not load a store. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  start: {
    summary: 'run Holdfast in the foreground',
    load: async () => {
      const { start, startUsage } = await import('./cli/start.ts');
      return { run: start, usage: startUsage };
    },
  },
  status: {
    summary: 'what runs: addresses, processes, turns',
    load: async () => {
      const { status, statusUsage } = await import('./cli/status.ts');
      return { run: status, usage: statusUsage };
    },
  },
  send: {
    summary: 'send a message, wait, print the answer',
    load: async () => {
      const { send, sendUsage } = await import('./cli/send.ts');
      return { run: send, usage: sendUsage };
    },
  },
  tail: {
    summary: 'print a conversation and follow it',
    load: async () => {
      const { tail, tailUsage } = await import('./cli/tail.ts');
      return { run: tail, usage: tailUsage };
    },
  },
  triggers: {
    summary: 'triggers: what is due next, what went wrong last, the ledger',
    load: async () => {
      const { triggers, triggersUsage } = await import('./cli/triggers.ts');
      return { run: triggers, usage: triggersUsage };
    },
  },
  agents: {
    summary: 'the agents of a conversation: what each does, and its mail',
    load: async () => {
      const { agents, agentsUsage } = await import('./cli/agents.ts');
      return { run: agents, usage: agentsUsage };
    },
  },
  cancel: {
    summary: 'cancel the running turn of a conversation',
    load: async () => {
      const { cancel, cancelUsage } = await import('./cli/turn-commands.ts');
      return { run: cancel, usage: cancelUsage };
    },
  },
  retry: {
    summary: 'start a new attempt of an ended turn',
    load: async () => {
      const { retry, retryUsage } = await import('./cli/turn-commands.ts');
      return { run: retry, usage: retryUsage };
    },
  },
  why: {
    summary: 'what a conversation waits for, and what puts it right',
    load: async () => {
      const { why, whyUsage } = await import('./cli/why.ts');
      return { run: why, usage: whyUsage };
    },
  },
  release: {
    summary: 'release what is held in a queue',
    load: async () => {
      const { release, releaseUsage } = await import('./cli/turn-commands.ts');
      return { run: release, usage: releaseUsage };
    },
  },
  answer: {
    summary: 'allow or deny what a turn asks for',
    load: async () => {
      const { answer, answerUsage } = await import('./cli/turn-commands.ts');
      return { run: answer, usage: answerUsage };
    },
  },
  export: {
    summary: 'write a conversation as JSON lines',
    load: async () => {
      const { exportConversation, exportUsage } = await import('./cli/transfer.ts');
      return { run: exportConversation, usage: exportUsage };
    },
  },
  import: {
    summary: 'make a conversation of exported JSON lines',
    load: async () => {
      const { importConversation, importUsage } = await import('./cli/transfer.ts');
      return { run: importConversation, usage: importUsage };
    },
  },
  doctor: {
    summary: 'check this machine and this installation',
    load: async () => {
      const { doctor, doctorUsage } = await import('./cli/doctor.ts');
      return { run: doctor, usage: doctorUsage };
    },
  },
  stop: {
    summary: 'stop Holdfast; running turns go on',
    load: async () => {
      const { stop, stopUsage } = await import('./cli/stop.ts');
      return { run: stop, usage: stopUsage };
    },
  },
};

/** 128 + SIGPIPE, as shells have it. */
const EXIT_READER_GONE = 141;

const [name, ...args] = process.argv.slice(2);
const out = output(process.stdout);
const err = output(process.stderr);
// `holdfast tail … | head`: who follows for nobody ends. The supervisor outlives its terminal.
process.stdout.on('error', () => {
  if (name !== 'start') process.exit(EXIT_READER_GONE);
});
process.stderr.on('error', () => {});
process.exitCode = await main(name, args);
await flushed(process.stdout);
await flushed(process.stderr);
// Nothing that is still open may keep a command that has its answer from ending.
process.exit();

async function main(commandName: string | undefined, commandArgs: string[]): Promise<number> {
  if (commandName === '--help' || commandName === '-h' || commandName === 'help') {
    const wanted = COMMANDS[commandArgs[0] ?? ''];
    out.write(wanted === undefined ? help() : (await wanted.load()).usage);
    return EXIT.ok;
  }
  if (commandName === undefined) {
    err.write(help());
    return EXIT.usage;
  }
  const entry = Object.hasOwn(COMMANDS, commandName) ? COMMANDS[commandName] : undefined;
  if (entry === undefined) {
    err.write(`holdfast: there is no command "${harmless(commandName)}".\n\n${help()}`);
    return EXIT.usage;
  }
  const { run, usage } = await entry.load();
  if (commandArgs.includes('--help') || commandArgs.includes('-h')) {
    out.write(usage);
    return EXIT.ok;
  }
  let config: Config | null = null;
  try {
    config = loadConfig(ownEnvironment());
    return await run({ args: commandArgs, config, environment: ownEnvironment(), out, err });
  } catch (error) {
    return fail({ error, config, usage });
  }
}

function fail({
  error,
  config,
  usage,
}: {
  error: unknown;
  config: Config | null;
  usage: string;
}): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) err.write(`holdfast: ${problem}\n`);
    err.write('Every name: docs/configuration.md\n');
    return EXIT.usage;
  }
  if (error instanceof UsageError || isArgumentError(error)) {
    err.write(`holdfast: ${error.message}\n\n${usage}`);
    return EXIT.usage;
  }
  if (error instanceof CommandError) {
    err.write(`holdfast: ${error.message}\n`);
    return error.exitCode;
  }
  if (error instanceof UnreachableError) {
    const running = config !== null && runningState(config) !== null;
    err.write(
      running
        ? `holdfast: the gateway does not answer: ${error.message}\n`
        : 'holdfast: Holdfast is not running. Start it: holdfast start\n',
    );
    return running ? EXIT.failed : EXIT.notRunning;
  }
  if (error instanceof ApiError) {
    err.write(`holdfast: ${harmless(error.message)} (${error.code})\n`);
    return EXIT.failed;
  }
  throw error;
}

function help(): string {
  const lines = Object.entries(COMMANDS).map(
    ([command, { summary }]) => `  ${command.padEnd(8)} ${summary}\n`,
  );
  return `holdfast: durable conversations with agent CLIs\n\n${lines.join('')}\nMore: holdfast COMMAND --help. Settings are environment variables: docs/configuration.md\n`;
}

/** `parseArgs` says so by a code. */
function isArgumentError(error: unknown): error is Error {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code.startsWith('ERR_PARSE_ARGS_')
  );
}

function output(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => {
      stream.write(text);
    },
    isTerminal: stream.isTTY,
  };
}

/** Everything written so far has left this process, or never will. */
async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.write('', () => resolve());
  await promise;
}
