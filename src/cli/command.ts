/** What every command is given, and the ways in which it ends. */
import type { Config, Environment } from '../config.ts';
import { apiAddress } from '../supervisor/address.ts';
import { readToken } from '../supervisor/home.ts';
import { readLiveState, type SupervisorState } from '../supervisor/state.ts';
import { type Answer, ApiClient } from './api-client.ts';

/** Exit codes of every command. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notRunning: 3,
  cancelled: 4,
  /** 128 + SIGINT, as shells have it. */
  interrupted: 130,
} as const;

export type CommandContext = {
  /** What follows the command's name. */
  args: string[];
  config: Config;
  environment: Environment;
  out: Output;
  err: Output;
};

/** A stream to write to: stdout or stderr. */
export type Output = {
  write: (text: string) => void;
  /** Whether a person looks at it. */
  isTerminal: boolean;
};

export type Command = (context: CommandContext) => Promise<number>;

/** The command was typed wrongly. Ends with exit code 2 and the command's usage. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Ends the command with this exit code; the message goes to stderr. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The state of what runs for this home; null when nothing does. */
export function runningState(config: Config): SupervisorState | null {
  return readLiveState({ runFolder: config.paths.run });
}

/**
 * A client of the gateway of this home: the supervised one, else one that listens where the configuration says.
 * Throws: {@link CommandError} when there is no token, so nothing was ever started here.
 */
export function connect(config: Config): ApiClient {
  const token = readToken(config);
  if (token === null)
    throw new CommandError(
      `Holdfast has never been started for ${config.home}. Start it: holdfast start`,
      EXIT.notRunning,
    );
  const address = runningState(config)?.api ?? apiAddress(config.api);
  return new ApiClient({ address, token });
}

/** What the gateway answers to a question: while Holdfast runs, as soon as it can; where nothing runs there is nobody to wait for. */
export function read(config: Config, path: string): Promise<Answer> {
  const client = connect(config);
  const call = { method: 'GET', path } as const;
  return runningState(config) === null ? client.call(call) : client.callPatiently(call);
}

/** The one conversation that a command names. Throws: {@link UsageError}. */
export function oneConversation(positionals: readonly string[]): string {
  const [conversationId, ...others] = positionals;
  if (conversationId === undefined || others.length > 0)
    throw new UsageError('Name one conversation.');
  return conversationId;
}
