/** A program that a test runs: its output so far, its end, and its end for certain when the test is over. */
import { type ChildProcess, spawn } from 'node:child_process';

export type Program = {
  child: ChildProcess;
  pid: number;
  /** Everything on stdout and on stderr so far. */
  stdout: () => string;
  stderr: () => string;
  /** Settles with the exit code, or the signal. */
  ended: Promise<number | NodeJS.Signals>;
  kill: (signal: NodeJS.Signals) => void;
};

export function runProgram({
  program,
  args,
  environment,
  cwd,
  detached = false,
}: {
  program: string;
  args: readonly string[];
  environment: Readonly<Record<string, string | undefined>>;
  cwd?: string;
  /** Leads a process group of its own. */
  detached?: boolean;
}): Program {
  const child = spawn(program, args, {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached,
    ...(cwd === undefined ? {} : { cwd }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | NodeJS.Signals>();
  child.on('error', reject);
  // `exit`, not `close`: a child of it may hold the pipes.
  child.on('exit', (code, signal) => setImmediate(() => resolve(signal ?? code ?? -1)));
  return {
    child,
    pid: child.pid ?? -1,
    stdout: () => stdout,
    stderr: () => stderr,
    ended: promise,
    kill: (signal) => child.kill(signal),
  };
}
