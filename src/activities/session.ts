/**
 * A session: one provider process, its spool and its driver, seen from the process that has custody of it.
 *
 * It feeds the driver with what the spool holds and hands the reports on; it knows nothing of turns' outcomes,
 * epochs or the store (custody.ts does).
 *
 * Invariants:
 *  1 The driver is fed every line once, in order; `fedOffset` is the end of the last line fed.
 *  2 Reports of one read are handed over before the next read: the spool file is the only buffer (W2).
 *  3 A call to the driver is recorded with `fedOffset` before its frames are written, so a rebuilt driver is the same (F2).
 */
import { type FSWatcher, watch } from 'node:fs';

import { TERM_GRACE_MS } from '../contracts/limits.ts';
import type { Provider, ProviderDriver, ProviderReport } from '../contracts/provider-events.ts';
import { LineSplitter } from '../providers/process/line-splitter.ts';
import {
  awakeSeconds,
  isSameProcess,
  type ProcessIdentity,
  signalGroup,
} from '../providers/process/process-table.ts';
import type { DriverCall, RecordedCall, Spool } from '../providers/process/spool.ts';
import { killUnder } from './marks.ts';

/** Bytes read from a spool at once; what they hold becomes one append. */
const READ_BYTES = 256 * 1024;
/** One for all sessions: what is read is split and copied before anything else can run. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** How often a spool is looked at when it cannot be watched. */
const POLL_MS = 20;
/** Between a provider's death and its wrapper's exit file lie a few milliseconds; a busy machine gets this much. */
const EXIT_FILE_GRACE_MS = 500;

/** How a process ended: its exit code, or null when nobody could see it. */
export type ProcessEnd = { exitCode: number | null; stderrTail: string; startError: string | null };

export type SessionListener = {
  /** Reports of consecutive lines, the last of which ends at `offset`. The next read waits for the answer. */
  reports(reports: ProviderReport[], offset: number): Promise<void>;
  /** Once, after everything the process wrote has been handed over. */
  ended(end: ProcessEnd): Promise<void>;
  /** Something here failed that is not the provider's doing. */
  failed(error: unknown): void;
};

export class Session {
  readonly spool: Spool;
  readonly provider: Provider;
  readonly #listener: SessionListener;
  readonly #driver: ProviderDriver;
  readonly #splitter: LineSplitter;
  readonly #stopped = new AbortController();
  #watcher: FSWatcher | null = null;
  #polling: NodeJS.Timeout | null = null;
  #readOffset = 0;
  #fedOffset = 0;
  #calls = 0;
  #writing: Promise<unknown> = Promise.resolve();
  #pumping = false;
  /** While the driver is being rebuilt, and until its owner is ready for more, nothing else may feed it. */
  #held = false;
  #again = false;
  /** Whether the next look is also one at the process: it costs several system calls, so new output alone is no reason. */
  #lookAtProcess = false;
  #ended = false;
  #startError: string | null = null;
  /** Null: another process launched it, so nobody tells. */
  #wrapperGone: boolean | null;
  #killed = false;
  #missingSince: number | null = null;

  /** `adopted`: another process launched it, so nobody will tell when its wrapper ends. */
  constructor(parts: {
    spool: Spool;
    provider: Provider;
    listener: SessionListener;
    adopted: boolean;
    lineLimitBytes: number;
  }) {
    this.spool = parts.spool;
    this.provider = parts.provider;
    this.#listener = parts.listener;
    this.#wrapperGone = parts.adopted ? null : false;
    this.#splitter = new LineSplitter({ limitBytes: parts.lineLimitBytes });
    this.#driver = parts.provider.createDriver(parts.spool.spec.session);
  }

  /** Whether its provider has been given nothing yet, and continues no earlier session: it knows nothing of what was said. */
  get isUntold(): boolean {
    return this.#calls === 0 && this.spool.spec.session.resumeSessionId === null;
  }

  get fedOffset(): number {
    return this.#fedOffset;
  }

  /** Whether the spool holds output that has not been handed over; then it is looked at now. */
  isBehind(): boolean {
    if (this.#ended || this.spool.outSize() <= this.#readOffset) return this.#pumping;
    this.wake();
    return true;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Aborted once the session has been let go. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  get identity(): ProcessIdentity | null {
    return this.spool.identity();
  }

  /** Starts the process. Its output is read from now on. */
  launch(environment: Record<string, string>): void {
    this.#watch();
    this.spool.launch({
      environment,
      onWrapperEnd: (error) => {
        this.#wrapperGone = true;
        this.#startError = error?.message ?? null;
        this.wake();
      },
    });
  }

  /**
   * Rebuilds the driver from an adopted spool: feeds it everything up to the present end of the file, with the
   * recorded calls at their places. `onStep` sees each call and each line's reports in order. What is written from then
   * on is handed over after {@link resume}.
   */
  async replay(
    calls: readonly RecordedCall[],
    onStep: (
      step:
        | { type: 'call'; call: DriverCall; sent: boolean }
        | { type: 'reports'; reports: ProviderReport[]; offset: number },
    ) => void,
  ): Promise<void> {
    this.#held = true;
    this.#watch();
    let next = 0;
    const callsUpTo = (offset: number): void => {
      for (
        let entry = calls[next];
        entry !== undefined && entry.outOffset <= offset;
        entry = calls[next]
      ) {
        this.#invoke(entry.call);
        onStep({ type: 'call', call: entry.call, sent: entry.sent });
        next += 1;
      }
    };
    callsUpTo(0);
    const end = this.spool.outSize();
    while (this.#readOffset < end) {
      const wanted = readBuffer.subarray(0, Math.min(READ_BYTES, end - this.#readOffset));
      const bytes = this.spool.read(wanted, this.#readOffset);
      if (bytes === 0) break;
      this.#readOffset += bytes;
      for (const line of this.#splitter.push(wanted.subarray(0, bytes))) {
        const reports = this.#feed(line);
        onStep({ type: 'reports', reports, offset: this.#fedOffset });
        callsUpTo(this.#fedOffset);
      }
      // Other turns of this host must go on while a long spool is read.
      await new Promise((resolve) => setImmediate(resolve));
    }
    callsUpTo(Number.MAX_SAFE_INTEGER);
    this.#calls = calls.length;
  }

  /**
   * Makes a call to the driver, records it, and writes its frames. `unwritten`: not all of them (the process is gone, or
   * the session was let go). `nothing`: the driver has no frames for it, and it is not recorded.
   */
  async call(call: DriverCall): Promise<'written' | 'unwritten' | 'nothing'> {
    if (this.#stopped.signal.aborted) return 'unwritten';
    const frames = this.#invoke(call);
    if (frames.length === 0) return 'nothing';
    const index = this.#record(call, frames);
    return (await this.#write(frames, index)) ? 'written' : 'unwritten';
  }

  /** Writes the frames of the `index`-th recorded call (from 0) again: only for frames that a provider takes once. */
  async repeat(frames: readonly string[], index: number): Promise<void> {
    await this.#write(frames, index);
  }

  async #write(frames: readonly string[], index: number): Promise<boolean> {
    // One after the other: a cancel must not land in the middle of a prompt that fills the pipe.
    const writing = this.#writing.then(() => this.spool.write(frames, this.#stopped.signal));
    this.#writing = writing.catch(() => undefined);
    const written = await writing;
    if (written) this.spool.recordSent(index);
    return written;
  }

  /** Records what is no call of the driver, for the next custody. */
  note(call: Extract<DriverCall, { type: 'stop' }>): void {
    if (!this.#stopped.signal.aborted) this.#record(call, []);
  }

  #record(call: DriverCall, frames: string[]): number {
    const index = this.#calls;
    const upSeconds = awakeSeconds();
    this.spool.recordCall({ outOffset: this.#fedOffset, upSeconds, call, frames });
    // Only now: one that could not be recorded has no number.
    this.#calls += 1;
    return index;
  }

  /** Goes on live after {@link replay}. */
  resume(): void {
    this.#held = false;
    this.wake();
  }

  /** Looks at the spool now: new output, or the end of the process. Called by a slow tick, and when something is known. */
  wake(): void {
    this.#lookAtProcess = true;
    this.#look();
  }

  #look(): void {
    this.#again = true;
    if (this.#held || this.#pumping || this.#ended || this.#stopped.signal.aborted) return;
    this.#pumping = true;
    this.#pump()
      .catch((error: unknown) => this.#listener.failed(error))
      .finally(() => {
        this.#pumping = false;
        if (this.#again && !this.#ended) this.#look();
      });
  }

  /** TERM (+CONT, for a stopped one) to the process group. */
  terminate(): void {
    const { identity } = this;
    if (identity === null) return;
    signalGroup(identity, 'SIGTERM');
    signalGroup(identity, 'SIGCONT');
  }

  /** KILL to the process group, the wrapper included. */
  kill(): void {
    this.#killed = true;
    if (this.identity !== null) signalGroup(this.identity, 'SIGKILL');
  }

  /** Kills everything that carries this session's mark, wherever it has moved itself. Returns the pids. */
  sweep(): number[] {
    return killUnder(this.spool.spec.mark);
  }

  /** TERM, then KILL, then the sweep. Returns when the process is gone. */
  async end(): Promise<void> {
    this.terminate();
    if (!(await this.#goneWithin(TERM_GRACE_MS))) this.kill();
    await this.#goneWithin(TERM_GRACE_MS);
    this.sweep();
    this.wake();
  }

  /** Lets go: nothing is read or written any more; the process goes on. */
  detach(): void {
    this.#stopped.abort();
    this.#unwatch();
    this.spool.close();
  }

  async #goneWithin(timeoutMs: number): Promise<boolean> {
    const { identity } = this;
    const deadline = performance.now() + timeoutMs;
    while (identity !== null && isSameProcess(identity)) {
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return true;
  }

  #watch(): void {
    try {
      // One watch on the folder sees the output grow, the pid and the exit file appear.
      this.#watcher = watch(this.spool.path, (_event, file) => {
        if (file === 'out.jsonl') this.#look();
        else if (file === 'exit') this.wake();
      });
      this.#watcher.on('error', () => this.#poll());
    } catch {
      // The user's inotify instances or watches are used up, by an editor perhaps: no reason to fail a turn.
      this.#poll();
    }
  }

  #poll(): void {
    this.#watcher?.close();
    this.#watcher = null;
    this.#polling ??= setInterval(() => this.wake(), POLL_MS);
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = null;
    if (this.#polling !== null) clearInterval(this.#polling);
    this.#polling = null;
  }

  async #pump(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      // Before the read: what was written before the process ended is read after it.
      const gone = this.#lookAtProcess ? this.#processEnd() : null;
      this.#lookAtProcess = false;
      for (;;) {
        if (this.#stopped.signal.aborted) return;
        const bytes = this.spool.read(readBuffer, this.#readOffset);
        if (bytes === 0) break;
        this.#readOffset += bytes;
        const reports: ProviderReport[] = [];
        for (const line of this.#splitter.push(readBuffer.subarray(0, bytes)))
          reports.push(...this.#feed(line));
        await this.#listener.reports(reports, this.#fedOffset);
      }
      if (gone !== null) {
        this.#ended = true;
        this.#unwatch();
        await this.#listener.ended(gone);
        return;
      }
    }
  }

  #feed(line: ReturnType<LineSplitter['push']>[number]): ProviderReport[] {
    this.#fedOffset = line.endOffset;
    if (line.kind === 'too-long')
      return [
        {
          type: 'notice',
          code: 'provider_line_too_long',
          text: `The provider wrote a line of ${line.bytes} bytes; it was skipped.`,
        },
      ];
    const reports = this.#driver.line(line.text);
    if (line.invalidUtf8)
      reports.push({
        type: 'notice',
        code: 'provider_invalid_utf8',
        text: 'The provider wrote bytes that are not UTF-8; they were replaced.',
      });
    return reports;
  }

  #invoke(call: DriverCall): string[] {
    switch (call.type) {
      case 'begin':
        return this.#driver.begin(call);
      case 'steer':
        return this.#driver.steer?.({ id: call.requestId, content: call.content }) ?? [];
      case 'cancel':
        return this.#driver.cancel();
      case 'stop':
        return [];
      case 'answer':
        return this.#driver.answer(call.approvalId, call.decision, call.message);
    }
  }

  /** Whether the process has ended, and how. */
  #processEnd(): ProcessEnd | null {
    const exitCode = this.spool.exitCode();
    if (exitCode !== null) return this.#endFacts(exitCode);
    const { identity } = this;
    if (identity !== null ? isSameProcess(identity) : this.#wrapperGone === false) {
      this.#missingSince = null;
      return null;
    }
    if (this.#startError !== null || this.#killed || this.#wrapperGone === true)
      return this.#endFacts(null);
    // Gone without an exit file: the wrapper may be about to write it. A second look, a little later, decides.
    if (this.#missingSince === null) {
      this.#missingSince = performance.now();
      setTimeout(() => this.wake(), EXIT_FILE_GRACE_MS + 10).unref();
    }
    return performance.now() - this.#missingSince < EXIT_FILE_GRACE_MS
      ? null
      : this.#endFacts(null);
  }

  #endFacts(exitCode: number | null): ProcessEnd {
    return { exitCode, stderrTail: this.spool.stderrTail(), startError: this.#startError };
  }
}
