/**
 * The spool: a folder that stands between a provider's process and whoever reads it, so that no
 * reader's death reaches the process and no byte is lost. Source: design.md section 4.
 *
 *     <name>/
 *       spec.json   what was started, for whom; synced before the spawn
 *       in.fifo     the provider's stdin, held open for reading and writing by its own shell wrapper: never EOF
 *       in.jsonl    every call made to the driver with the frames it gave, recorded before they are written
 *       out.jsonl   the provider's stdout, appended      err.log  its stderr (a bounded tail is kept)
 *       pid         the provider's pid, written by itself just before it becomes the program
 *       mcp.json    the MCP server of the session, with its token (0600)
 *       state.json  the identity of that process and who had custody of it last
 *       exit        exit code, written by the wrapper
 *
 * Invariants:
 *  1 A call is in in.jsonl before its first byte is in the FIFO. A call whose `sent` mark is missing may or may not have
 *    reached the provider: it is never made again (the prompt is sent at most once).
 *  2 out.jsonl only grows, and is written by the provider alone.
 *  3 Nothing here needs the process that created it: every method works on an adopted spool.
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { PROCESS_MARK } from '../../contracts/names.ts';
import type { ApprovalDecision, SessionSpec, TurnPrompt } from '../../contracts/provider-events.ts';
import {
  identify,
  isIdentity,
  isSameProcess,
  markOf,
  type ProcessIdentity,
} from './process-table.ts';

/** What a spool was made for. Enough to rebuild the driver. */
export type SpoolSpec = {
  /** The attempt that started the process: the mark of everything it starts. */
  mark: string;
  conversationId: string;
  providerId: string;
  session: SessionSpec;
  /** The conversation's session generation that the process belongs to; absent (spools of before there were any): 0. */
  sessionGeneration?: number;
  /** Where the session's MCP server was when it began; absent: it has none. */
  mcpUrl?: string;
  program: string;
  args: string[];
  /** Names only: values may be secrets. */
  environmentNames: string[];
  bootId: string;
  createdAt: string;
};

/** A call to the driver, as recorded. */
export type DriverCall =
  | ({ type: 'begin' } & TurnPrompt)
  /** A message that is offered to the running turn. */
  | { type: 'steer'; attemptKey: string; requestId: string; content: string }
  | { type: 'cancel'; attemptKey: string }
  /** No call of the driver: the turn is being stopped for a reason of ours, which the next custody must know. */
  | { type: 'stop'; attemptKey: string; cause: string; message: string }
  | {
      type: 'answer';
      attemptKey: string;
      approvalId: string;
      decision: ApprovalDecision;
      message: string | null;
    };

export type RecordedCall = {
  /** How much of out.jsonl the driver had been fed when the call was made, in bytes. */
  outOffset: number;
  call: DriverCall;
  /** When it was made, by `awakeSeconds`: no setting of the wall clock changes how long a turn has run. */
  upSeconds?: number;
  frames: string[];
  /** Whether all its bytes are known to be in the FIFO. */
  sent: boolean;
};

/** Bytes of stderr that are kept and shown. */
const STDERR_TAIL_BYTES = 16 * 1024;
/** A longer err.log is cut to its tail. */
const STDERR_LIMIT_BYTES = 4 * 1024 * 1024;

/*
 * The wrapper outlives every reader: it makes the FIFO, holds it open both ways, and writes the exit code.
 * The inner shell writes its own pid and then becomes the provider, so the pid on file is the provider's.
 * `printf` and `mv` so that a reader never sees half a file. The trap keeps the wrapper alive through a TERM to the group,
 * to write the exit code; a trapped signal is back at its default in the program (an ignored one would not be).
 */
const WRAPPER = `d=$1; shift
trap : HUP INT QUIT TERM
mkfifo -m 600 "$d/in.fifo" && exec 3<>"$d/in.fifo" || exit 120
/bin/sh -c 'd=$1; shift; printf %s "$$" >"$d/pid.tmp" && mv "$d/pid.tmp" "$d/pid"; exec "$@"' sh "$d" "$@" <&3 3<&- >>"$d/out.jsonl" 2>>"$d/err.log"
code=$?
printf %s "$code" >"$d/exit.tmp" && mv "$d/exit.tmp" "$d/exit"`;

/** One spool folder. Cheap: holds descriptors only while they are needed. */
export class Spool {
  readonly name: string;
  readonly path: string;
  readonly spec: SpoolSpec;
  #outDescriptor: number | null = null;
  #inputDescriptor: number | null = null;
  #callsDescriptor: number | null = null;
  /** in.jsonl ends in the middle of a line: its writer died, or the disk was full. */
  #callsTorn = false;
  #identity: ProcessIdentity | null = null;

  private constructor(folder: { name: string; path: string; spec: SpoolSpec }) {
    this.name = folder.name;
    this.path = folder.path;
    this.spec = folder.spec;
  }

  /** Makes the folder and its spec, synced. An earlier folder of that name (never begun) is replaced. */
  static async create(folder: { root: string; name: string; spec: SpoolSpec }): Promise<Spool> {
    const path = join(folder.root, folder.name);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const file = await open(join(path, 'spec.json'), 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(folder.spec));
      await file.sync();
    } finally {
      await file.close();
    }
    writeFileSync(join(path, 'out.jsonl'), '', { mode: 0o600, flag: 'a' });
    return new Spool({ name: folder.name, path, spec: folder.spec });
  }

  /** Opens what another process left; null when there is no readable spec (it was never started). */
  static open(folder: { root: string; name: string }): Spool | null {
    const path = join(folder.root, folder.name);
    const spec = readJson(join(path, 'spec.json'));
    return isSpec(spec) ? new Spool({ name: folder.name, path, spec }) : null;
  }

  /**
   * Starts the program, detached, through the wrapper. Returns at once; `pid` appears in the folder when the
   * program is about to run. Throws what `spawn` throws synchronously (E2BIG, a bad argument).
   */
  launch(launch: {
    environment: Record<string, string>;
    /** The wrapper could not be started, or has ended; told only to the process that launched it. */
    onWrapperEnd: (error: Error | null) => void;
  }): void {
    const { spec } = this;
    const child = spawn('/bin/sh', ['-c', WRAPPER, 'sh', this.path, spec.program, ...spec.args], {
      cwd: spec.session.workspacePath,
      env: { ...launch.environment, [PROCESS_MARK]: spec.mark },
      detached: true,
      stdio: 'ignore',
    });
    child.on('error', launch.onWrapperEnd);
    child.on('exit', () => launch.onWrapperEnd(null));
    child.unref();
  }

  /** The provider's process, once it is known; proven by its mark, then remembered by start time. */
  identity(): ProcessIdentity | null {
    if (this.#identity !== null) return this.#identity;
    const state = readJson(join(this.path, 'state.json'));
    if (isRecord(state) && isIdentity(state['identity']))
      return (this.#identity = state['identity']);
    const pid = Number(this.#readText('pid') ?? Number.NaN);
    if (!Number.isInteger(pid)) return null;
    const identity = identify(pid);
    // A pid may have been reused between a crash and now: only the mark in its environment proves it is ours.
    if (identity === null || markOf(pid) !== this.spec.mark) return null;
    return (this.#identity = identity);
  }

  /** Records who has custody. Written whole, by rename. */
  saveState(state: { epoch: number; ownerPid: number }): void {
    const path = join(this.path, 'state.json');
    writeFileSync(`${path}.tmp`, JSON.stringify({ identity: this.identity(), ...state }));
    renameSync(`${path}.tmp`, path);
  }

  /** Whether the provider's process runs. False also before it has started. */
  isAlive(): boolean {
    const identity = this.identity();
    return identity !== null && isSameProcess(identity);
  }

  /** Exit code as the wrapper saw it (128 + n for a signal); null while it runs or when the wrapper died with it. */
  exitCode(): number | null {
    const text = this.#readText('exit');
    return text === null || text === '' ? null : Number(text);
  }

  /** The calls recorded so far, in order. A torn line (a crash in mid-write, a full disk) is a call that never went out. */
  calls(): RecordedCall[] {
    const calls: RecordedCall[] = [];
    const text = this.#readText('in.jsonl') ?? '';
    this.#callsTorn = text !== '' && !text.endsWith('\n');
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const entry = parseJson(line);
      if (!isRecord(entry)) continue;
      if (typeof entry['sent'] === 'number') {
        const call = calls[entry['sent']];
        if (call !== undefined) call.sent = true;
      } else if (isCall(entry)) calls.push({ ...entry, sent: false });
    }
    return calls;
  }

  /** Records a call and returns its number. Not synced: a power cut ends the provider too, and then nothing is sent again. */
  recordCall(entry: Omit<RecordedCall, 'sent'>): void {
    this.#appendCalls(`${JSON.stringify(entry)}\n`);
  }

  /** Marks the `index`-th recorded call (from 0) as sent. */
  recordSent(index: number): void {
    this.#appendCalls(`{"sent":${index}}\n`);
  }

  /** Waits until the program's stdin is there. False when the process ended first, or `signal` was aborted. */
  async inputReady(signal: AbortSignal): Promise<boolean> {
    for (let pauseMs = 1; !this.#openInput(); pauseMs = Math.min(pauseMs * 2, 20)) {
      if (signal.aborted || this.exitCode() !== null) return false;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return true;
  }

  /**
   * Writes frames, one line each, to the provider's stdin. Waits, without blocking the event loop, for the
   * FIFO to be there and to have room. False when `signal` was aborted or the process is gone before all was written.
   */
  async write(frames: readonly string[], signal: AbortSignal): Promise<boolean> {
    let rest = Buffer.from(frames.map((frame) => `${frame}\n`).join(''));
    for (let pauseMs = 1; rest.length > 0; pauseMs = Math.min(pauseMs * 2, 50)) {
      // The wrapper holds the pipe open a moment longer than the program lives: bytes would go in, to nobody.
      if (signal.aborted || this.exitCode() !== null) return false;
      const written = this.#writeSome(rest);
      rest = rest.subarray(written);
      if (written > 0) pauseMs = 1;
      if (rest.length === 0) return true;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return true;
  }

  /** Reads stdout from `position` into `buffer`; the number of bytes, 0 at its present end. */
  read(buffer: Buffer, position: number): number {
    this.#outDescriptor ??= openSync(join(this.path, 'out.jsonl'), 'r');
    return readSync(this.#outDescriptor, buffer, 0, buffer.length, position);
  }

  /** Bytes of stdout so far. */
  outSize(): number {
    if (this.#outDescriptor !== null) return fstatSync(this.#outDescriptor).size;
    return statSync(join(this.path, 'out.jsonl'), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Cuts an err.log that has grown past its limit to its tail. */
  boundStderr(): void {
    const size = statSync(join(this.path, 'err.log'), { throwIfNoEntry: false })?.size ?? 0;
    if (size > STDERR_LIMIT_BYTES) this.stderrTail();
  }

  /** The last words on stderr, for error messages. Cuts an overgrown err.log. */
  stderrTail(): string {
    const path = join(this.path, 'err.log');
    if (!existsSync(path)) return '';
    const descriptor = openSync(path, 'r+');
    try {
      const { size } = fstatSync(descriptor);
      const tail = Buffer.alloc(Math.min(size, STDERR_TAIL_BYTES));
      readSync(descriptor, tail, 0, tail.length, size - tail.length);
      // The provider appends (O_APPEND): after a cut it goes on at the new end.
      if (size > STDERR_LIMIT_BYTES) {
        ftruncateSync(descriptor, 0);
        writeSync(descriptor, tail, 0, tail.length, 0);
      }
      return tail.toString('utf8');
    } finally {
      closeSync(descriptor);
    }
  }

  /** Lets go of the descriptors; the process and the folder stay. */
  close(): void {
    for (const descriptor of [this.#outDescriptor, this.#inputDescriptor, this.#callsDescriptor])
      if (descriptor !== null) closeSync(descriptor);
    this.#outDescriptor = this.#inputDescriptor = this.#callsDescriptor = null;
  }

  /** Removes the folder. Only when its process is gone. */
  remove(): void {
    this.close();
    rmSync(this.path, { recursive: true, force: true });
  }

  /** Non-blocking: ENXIO until somebody reads. A blocking open would hold a thread. */
  #openInput(): boolean {
    try {
      this.#inputDescriptor ??= openSync(
        join(this.path, 'in.fifo'),
        constants.O_WRONLY | constants.O_NONBLOCK,
      );
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENXIO')) return false;
      throw error;
    }
  }

  /** Bytes that went into the pipe now; 0 when it is full (EAGAIN) or nobody reads it (any more). */
  #writeSome(bytes: Buffer): number {
    try {
      return this.#openInput() && this.#inputDescriptor !== null
        ? writeSync(this.#inputDescriptor, bytes)
        : 0;
    } catch (error) {
      if (hasCode(error, 'EAGAIN', 'EPIPE')) return 0;
      throw error;
    }
  }

  #appendCalls(text: string): void {
    this.#callsDescriptor ??= openSync(join(this.path, 'in.jsonl'), 'a', 0o600);
    // A torn line must not take the next one with it.
    const bytes = Buffer.from(this.#callsTorn ? `\n${text}` : text);
    this.#callsTorn = true;
    // A disk that is nearly full takes a part, and refuses the rest.
    for (let written = 0; written < bytes.length;)
      written += writeSync(this.#callsDescriptor, bytes, written);
    this.#callsTorn = false;
  }

  #readText(file: string): string | null {
    try {
      return readFileSync(join(this.path, file), 'utf8');
    } catch {
      return null;
    }
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return isRecord(error) && typeof error['code'] === 'string' && codes.includes(error['code']);
}

/** What a file of ours holds; undefined when it is not there, or was torn by a crash. */
function readJson(path: string): unknown {
  try {
    return parseJson(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isSpec(value: unknown): value is SpoolSpec {
  const names = ['mark', 'conversationId', 'providerId', 'bootId'];
  return isRecord(value) && names.every((name) => typeof value[name] === 'string');
}

function isCall(value: Record<string, unknown>): value is Omit<RecordedCall, 'sent'> {
  const { call, outOffset, frames } = value;
  return isRecord(call) && typeof outOffset === 'number' && Array.isArray(frames);
}
