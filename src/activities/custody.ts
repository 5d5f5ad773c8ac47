/**
 * Custody: the turn host's hold on the attempts it runs. It belongs to this process, not to an activity
 * attempt: whoever asks (Temporal's first try, its tenth, nobody after a restart) finds the same turn.
 *
 * Invariants (numbers of design.md section 12):
 *  A1 an attempt's end is appended under its one key; then, and only then, its waiters are told.
 *  C1 a cancel asks and then insists; the end that is recorded is the one the provider reached, or `cancelled`.
 *  F1 every append carries the epoch of this custody; when it is refused, the session is let go and nothing more is written.
 *  F2 events, projections and the spool offset move in one append; a rebuilt turn goes on from the stored offset.
 *  P1 when a process ends, everything under its mark is killed before the turn's end is recorded.
 *  P3 an attempt is `interrupted` only after its process is gone.
 *  The prompt is sent at most once: it is sent only when no call that begins the attempt is recorded in the spool.
 *
 * What can die when: see docs/seam.md.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';

import { isHoldfastError, HoldfastError } from '../contracts/errors.ts';
import type { NewEvent, OutcomeName, PhaseName } from '../contracts/events.ts';
import { appendKey, attemptKey, conversationStream, parseAttemptKey } from '../contracts/ids.ts';
import type { ApprovalDecision, Provider, ProviderReport } from '../contracts/provider-events.ts';
import {
  coalesce,
  type ForcedEnd,
  forceEnd,
  newRecording,
  phaseOf,
  record,
  type Recording,
  recordingOfView,
  requestCancel,
  resolveApproval,
} from '../domain/segments.ts';
import { allowedEnvironment } from '../providers/process/environment.ts';
import {
  bootId,
  markedProcesses,
  processFacts,
  signalProcess,
} from '../providers/process/process-table.ts';
import { type RecordedCall, Spool, type SpoolSpec } from '../providers/process/spool.ts';
import type { Room } from '../store/disk-room.ts';
import type { AttemptRow, ConversationRow, Fence, Store } from '../store/port.ts';
import { type ProcessEnd, Session, type SessionListener } from './session.ts';
import { type Silence, SilenceClock, type SilenceLimitsOfPhase } from './silence.ts';

export type AttemptRef = { conversationId: string; turnId: string; attempt: number };

export type AttemptEnd = { outcome: OutcomeName; cause: string | null };

/** What a heartbeat tells: for the Temporal Web UI and `holdfast status`. */
export type AttemptStatus = {
  spoolOffset: number;
  lastOutputAt: string;
  pid: number | null;
  phase: PhaseName | 'starting';
};

export type CustodySettings = {
  host: string;
  spoolRoot: string;
  /** The engine's own environment; providers see an allowlisted part of it. */
  environment: Readonly<Record<string, string | undefined>>;
  cancelGraceMs: number;
  termGraceMs: number;
  sessionIdleMs: number;
  sessionLimit: number;
  sessionSpoolLimitBytes: number;
  lineLimitBytes: number;
  /** Limits of the silence clock. */
  silence: (subject: { provider: string; phase: PhaseName }) => SilenceLimitsOfPhase;
  /** A look at the disks of the store and the spools. */
  room: () => Room;
  turnLimitMs: number;
};

/** What others are told, when they want to know; nothing waits for it. */
export type CustodyEvents = {
  /** A turn's provider has fallen silent, or says something again. */
  onQuiet?: (turn: AttemptRef & { quiet: boolean }) => void;
  /** Another process has this host's custody: this one must stop. */
  onSuperseded?: () => void;
};

export type CustodyLog = (level: 'info' | 'warn' | 'error', text: string, facts?: object) => void;

/** Ended spools that are kept for whoever wants to look; none above this size. */
const KEPT_SPOOLS = 20;
const KEPT_SPOOL_BYTES = 8 * 1024 * 1024;
/** Linux counts CPU time for /proc in hundredths of a second on every architecture. */
const MS_PER_TICK = 10;
/** An attempt that changes hands this often within this time, with no word of its provider, is ended: it may be what kills its hosts. */
const RECOVERY_LIMIT = 20;
const RECOVERY_WINDOW_MS = 600_000;
/** Events of a turn that say nothing about its provider. */
const SIGNLESS: ReadonlySet<string> = new Set([
  'chat.quiet',
  'chat.cancelling',
  'chat.queued',
  'notice',
]);
/** A warm session without a turn is taken over only when its driver is rebuilt in a blink. */
const IDLE_ADOPT_LIMIT_BYTES = 4 * 1024 * 1024;
/** Tries to take over one spool while the store is busy or full. */
const ADOPTION_TRIES = 5;
/** Longest wait for a killed process to be accounted for. */
const GONE_LIMIT_MS = 5_000;
const GONE_LOOK_MS = 10;
/** Tries of a write that the store refuses for a reason that time does not heal. */
const HOPELESS_TRIES = 3;
/** A program that has shown no pid by then will not. */
const START_LIMIT_MS = 30_000;
/** A step of a cancel is recorded before it is taken, unless the store takes longer than this: it may be full for hours. */
const STEP_RECORD_LIMIT_MS = 1_000;

const STORAGE_FULL: ForcedEnd = {
  outcome: 'interrupted',
  cause: 'storage_full',
  message: 'The disk is full; the provider was stopped. What it had said is kept.',
};

type LiveTurn = {
  ref: AttemptRef;
  requestId: string | null;
  key: string;
  fence: Fence;
  recording: Recording;
  session: LiveSession;
  /** Granted custody; until then nothing may be appended. */
  claimed: Promise<unknown>;
  lastOutputAt: string;
  /** When it must be over, in seconds of the machine's uptime. */
  overAtUptime: number;
  /** Where its bytes begin in the spool, and how far they are in the log. */
  from: number;
  spoolOffset: number;
  /** How it ends when its process ends first. */
  forced: ForcedEnd | null;
  ladder: Promise<void> | null;
  /** Runs from the moment the prompt is handed over. */
  clock: SilenceClock | null;
  /** The append that was begun last. */
  writes: Promise<unknown>;
  /** An append of it was refused for good: what follows would have a hole before it, so nothing but its end is recorded. */
  broken: boolean;
  /** For the evidence of a silence: the last event, and the CPU time used when it was last looked at. */
  lastEvent: string | null;
  cpuMark: { ticks: number; at: string };
  ended: PromiseWithResolvers<AttemptEnd>;
};

type LiveSession = {
  conversationId: string;
  session: Session;
  /** Has taken the session, and its prompt has not been handed over. */
  starting: LiveTurn | null;
  /** Runs on it: what the provider reports belongs to this turn. */
  turn: LiveTurn | null;
  idleSince: number;
  /** Signals are being sent to it: no further turn, whatever it still says. */
  doomed: boolean;
  /** Set once the process is being ended. */
  ending: Promise<void> | null;
  /** Resolves when the process has ended and everything of it is recorded, or when it was let go. */
  gone: PromiseWithResolvers<void>;
  /** The provider's session id, when it was told before a turn had begun. */
  unsavedSessionId: string | null;
};

type Starting = { promise: Promise<AttemptEnd>; cancelBy: string | null };

export class Custody {
  readonly #store: Store;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #settings: CustodySettings;
  readonly #log: CustodyLog;
  readonly #events: CustodyEvents;
  readonly #sessions = new Map<string, LiveSession>();
  readonly #turns = new Map<string, LiveTurn>();
  readonly #starting = new Map<string, Starting>();
  readonly #closed = new AbortController();
  /** Spools of ended processes, oldest first. */
  #kept: Spool[] = [];

  constructor(parts: {
    store: Store;
    providers: ReadonlyMap<string, Provider>;
    settings: CustodySettings;
    log: CustodyLog;
    events?: CustodyEvents;
  }) {
    this.#store = parts.store;
    this.#providers = parts.providers;
    this.#settings = parts.settings;
    this.#log = parts.log;
    this.#events = parts.events ?? {};
  }

  get host(): string {
    return this.#settings.host;
  }

  /** Whether one more conversation can be pinned here. */
  get hasRoom(): boolean {
    const busy = new Set([...this.#turns.keys(), ...this.#starting.keys()]);
    return busy.size < this.#settings.sessionLimit;
  }

  /**
   * Runs the attempt to its end, or finds it running, or finds it ended. Any number of callers, at any time.
   * Rejects only for reasons that a later call may not meet (the store is busy, custody was lost).
   */
  run(ref: AttemptRef): Promise<AttemptEnd> {
    const key = attemptKey(ref.turnId, ref.attempt);
    const live = this.#turns.get(key);
    if (live !== undefined) return live.ended.promise;
    const starting = this.#starting.get(key);
    if (starting !== undefined) return starting.promise;
    const entry: Starting = { promise: this.#begin(ref, key), cancelBy: null };
    this.#starting.set(key, entry);
    entry.promise.catch(() => undefined).finally(() => this.#starting.delete(key));
    return entry.promise;
  }

  status(ref: AttemptRef): AttemptStatus | null {
    const turn = this.#turns.get(attemptKey(ref.turnId, ref.attempt));
    if (turn === undefined) return null;
    const { spoolOffset, lastOutputAt, session, recording } = turn;
    const pid = session.session.identity?.pid ?? null;
    return { spoolOffset, lastOutputAt, pid, phase: phaseOf(recording) };
  }

  /**
   * Starts the cancel of an attempt and answers at once; its end tells how it went. `ended`: too late. `unknown`: not
   * begun here; the cancel that the workflow has recorded keeps it from beginning.
   */
  async cancel(request: AttemptRef & { by: string }): Promise<'cancelling' | 'ended' | 'unknown'> {
    const key = attemptKey(request.turnId, request.attempt);
    const turn = this.#turns.get(key);
    if (turn !== undefined) {
      this.#startLadder(turn, { outcome: 'cancelled', by: request.by });
      return 'cancelling';
    }
    const starting = this.#starting.get(key);
    if (starting !== undefined) {
      starting.cancelBy = request.by;
      return 'cancelling';
    }
    const row = await this.#store.attempt(request.turnId, request.attempt);
    return row === null || row.outcome === null ? 'unknown' : 'ended';
  }

  /** Records the answer to an open approval and gives it to the provider. False when that approval is not open. */
  async answer(
    request: AttemptRef & {
      approvalId: string;
      decision: ApprovalDecision;
      by: string;
      message: string | null;
    },
  ): Promise<boolean> {
    const turn = this.#turns.get(attemptKey(request.turnId, request.attempt));
    if (turn === undefined) return false;
    const { approvalId, decision, by, message } = request;
    const events = resolveApproval(turn.recording, { approvalId, decision, by });
    if (events.length === 0) return false;
    // Recorded first: after a crash in between, the adopting process reads the decision and gives the answer again.
    await this.#append(turn, { events, key: `approval:${turn.key}:${approvalId}` });
    turn.clock?.output();
    const { session } = turn.session;
    await session.call({ type: 'answer', attemptKey: turn.key, approvalId, decision, message });
    return true;
  }

  /**
   * A slow look at everything: output that no wake announced, processes that have gone, sessions idle for too long, turns
   * past their limit, disks that are full.
   */
  tick(): void {
    const nowMs = performance.now();
    const uptimeSeconds = uptime();
    for (const turn of this.#turns.values())
      if (uptimeSeconds > turn.overAtUptime) this.#startLadder(turn, this.#timeLimit());
    if (this.#turns.size > 0 && this.#settings.room().level === 'exhausted')
      for (const turn of this.#turns.values()) this.#startLadder(turn, STORAGE_FULL);
    for (const live of this.#sessions.values()) {
      live.session.wake();
      live.session.spool.boundStderr();
      if (isIdle(live) && nowMs - live.idleSince > this.#settings.sessionIdleMs)
        void this.#endSession(live);
    }
  }

  /** Ends the processes that serve no turn: nobody would enforce their idle limit while this host is away. */
  async endIdleSessions(): Promise<void> {
    const useless = [...this.#sessions.values()].filter(
      (live) => live.turn === null && live.starting === null,
    );
    await Promise.all(useless.map((live) => this.#endSession(live)));
  }

  /** Lets go of everything; processes and turns go on, for the next custody to adopt. */
  close(): void {
    this.#closed.abort();
    for (const { session } of this.#sessions.values()) session.detach();
    for (const { clock } of this.#turns.values()) clock?.stop();
    this.#sessions.clear();
    this.#turns.clear();
  }

  /**
   * Takes over what an earlier process of this host left: every spool with a process, every attempt of this host without
   * an end. To be called once, before anything is run.
   */
  async adopt(): Promise<{ attempts: number; sessions: number }> {
    const running = new Map<string, AttemptRow[]>();
    // One that was never claimed has nothing here: it begins when Temporal asks.
    for (const row of await this.#store.runningAttempts(this.host))
      if (row.place !== null)
        running.set(row.place.spool, [...(running.get(row.place.spool) ?? []), row]);
    const ended: Spool[] = [];
    await Promise.all(
      this.#spoolNames().map(async (name) => {
        const spool = Spool.open({ root: this.#settings.spoolRoot, name });
        const rows = running.get(name) ?? [];
        running.delete(name);
        if (spool === null) this.#discardFolder(name);
        else if (!(await this.#adoptOrEnd(spool, rows[0] ?? null))) ended.push(spool);
      }),
    );
    for (const rows of running.values())
      for (const row of rows) await this.#endLost(row, 'spool_lost', 'Its spool is gone.');
    this.#keepNewest(ended);
    await this.#sweepStrays();
    return { attempts: this.#turns.size, sessions: this.#sessions.size };
  }

  /**
   * P2: kills what carries the mark of one of this host's attempts and belongs to no session any more. A mark that the
   * store does not know is another installation's, and is left alone. Each kill is a row of the conversation's log.
   */
  async #sweepStrays(): Promise<void> {
    const owned = new Set(
      [...this.#sessions.values()].map(({ session }) => session.spool.spec.mark),
    );
    for (const found of markedProcesses()) {
      const key = parseAttemptKey(found.mark);
      if (key === null || owned.has(found.mark)) continue;
      const row = await this.#store.attempt(key.turnId, key.attempt);
      if (row?.place?.host !== this.host || !signalProcess(found, 'SIGKILL')) continue;
      const { conversationId, turnId, attempt } = row;
      await this.#store.append({
        stream: conversationStream(conversationId),
        key: `stray:${bootId()}:${found.pid}:${found.startTime}`,
        events: [
          {
            type: 'notice',
            turnId,
            attempt,
            payload: {
              code: 'stray_killed',
              text: `Process ${found.pid}, left over from attempt ${found.mark}, was killed.`,
            },
          },
        ],
      });
    }
  }

  /** How often this attempt has lately changed hands without a sign of the provider in between. */
  async #attachesWithoutProgress({ conversationId, turnId }: AttemptRow): Promise<number> {
    const stream = conversationStream(conversationId);
    const newest = await this.#store.lastSeq(stream);
    const { items } = await this.#store.events(stream, Math.max(0, newest - 100), 100);
    let count = 0;
    for (const { type, json } of items.toReversed()) {
      const event: unknown = JSON.parse(json);
      const { turnId: of, at } = Object.assign({ turnId: '', at: '' }, event);
      if (of !== turnId || SIGNLESS.has(type)) continue;
      const recent = Date.now() - Date.parse(at) < RECOVERY_WINDOW_MS;
      if (type !== 'chat.attached' || !recent) break;
      count += 1;
    }
    return count;
  }

  /** As {@link #adoptSpool}; a spool that cannot be adopted ends alone, and does not take this host's other turns with it. */
  async #adoptOrEnd(spool: Spool, row: AttemptRow | null): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#adoptSpool(spool, row);
      } catch (error) {
        this.#log('error', 'a spool could not be adopted', {
          spool: spool.name,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
        if (isHoldfastError(error) && error.code === 'fenced') return false;
        // Nothing can run before there is room, and what the spool holds is not given up for that.
        if (isStorageFull(error) || (isPassing(error) && tries < ADOPTION_TRIES)) {
          await new Promise((resolve) => setTimeout(resolve, Math.min(200 * 2 ** tries, 2_000)));
          continue;
        }
      }
      break;
    }
    this.#sweepMark(spool.spec.mark);
    if (row !== null)
      await this.#endLost(
        row,
        'internal_error',
        'It could not be taken over; the log says why.',
      ).catch((error: unknown) =>
        this.#log('error', 'its end could not be recorded', { error: String(error) }),
      );
    return false;
  }

  /** Adopts one spool; false when nothing of it goes on (it may be removed some day). */
  async #adoptSpool(spool: Spool, row: AttemptRow | null): Promise<boolean> {
    const provider = this.#providers.get(spool.spec.providerId);
    const calls = spool.calls();
    const key = row === null ? null : attemptKey(row.turnId, row.attempt);
    const begun = calls.find(({ call }) => call.type === 'begin' && call.attemptKey === key);
    const alive = spool.isAlive();
    // An attempt that was claimed but never begun starts again when Temporal asks: nothing was sent.
    if (provider === undefined || (begun === undefined && !alive)) return false;
    if (row === null && spool.outSize() > IDLE_ADOPT_LIMIT_BYTES) {
      // Reading all of it would hold up the turns; the next turn resumes the provider's session in a new process.
      const live = this.#newSession({ spool, provider, adopted: true });
      live.session.detach();
      live.gone.resolve();
      // Awaited: a turn that comes now must not find two processes of one provider session.
      await this.#endSession(live);
      return false;
    }
    if (row === null || begun === undefined || key === null) {
      await this.#adoptIdle(spool, provider, calls);
      return true;
    }
    await this.#adoptTurn({ spool, provider, calls, begun, row, key });
    return true;
  }

  /** A warm session between turns: it keeps its process, and what it deliberately runs in the background. */
  async #adoptIdle(spool: Spool, provider: Provider, calls: RecordedCall[]): Promise<void> {
    const live = this.#newSession({ spool, provider, adopted: true });
    await this.#replay(live, calls, () => undefined);
    live.session.resume();
    // Two live spools of one conversation: only the newest is its session.
    if (this.#sessions.has(spool.spec.conversationId)) void this.#endSession(live);
    else this.#sessions.set(spool.spec.conversationId, live);
  }

  async #adoptTurn(found: {
    spool: Spool;
    provider: Provider;
    calls: RecordedCall[];
    begun: RecordedCall;
    row: AttemptRow;
    key: string;
  }): Promise<void> {
    const { spool, row, key, begun } = found;
    const { upSeconds } = begun;
    const { conversationId, turnId, attempt, requestId } = row;
    // Before anything that this spool may make fail: else it would end host after host.
    if ((await this.#attachesWithoutProgress(row)) >= RECOVERY_LIMIT) {
      const message = `It was taken over ${RECOVERY_LIMIT} times without a sign of the provider; it was stopped.`;
      await this.#endLost(row, 'recovery_budget', message);
      return;
    }
    const scope = { turnId, attempt, ...(requestId === null ? {} : { requestId }) };
    const claim = await this.#store.claim({
      conversationId,
      turnId,
      attempt,
      host: this.host,
      place: null,
      events: (epoch) => [
        {
          type: 'chat.attached',
          ...scope,
          payload: { epoch, host: this.host, cause: 'turn_host_restarted' },
        },
      ],
    });
    const live = this.#newSession({ spool, provider: found.provider, adopted: true });
    const turn = this.#newTurn({ row, key, live });
    turn.fence.epoch = claim.epoch;
    turn.spoolOffset = claim.spoolOffset;
    if (upSeconds !== undefined && spool.spec.bootId === bootId())
      turn.overAtUptime = upSeconds + this.#settings.turnLimitMs / 1_000;
    const pending: NewEvent[] = [];
    const answered = new Set<string>();
    let active = false;
    let heard = false;
    await this.#replay(live, found.calls, (step) => {
      if (step.type === 'call') {
        active = step.call.attemptKey === key;
        if (!active) return;
        if (step.call.type === 'cancel') requestCancel(turn.recording, row.cancelBy ?? 'user');
        if (step.call.type === 'answer') {
          const { approvalId, decision } = step.call;
          resolveApproval(turn.recording, { approvalId, decision, by: 'user' });
          answered.add(approvalId);
        }
        return;
      }
      if (!active) return;
      heard ||= step.reports.some(({ type }) => type !== 'session');
      const events = step.reports.flatMap((report) => record(turn.recording, report));
      // What lies before the stored offset is in the log already (F2).
      if (step.offset > claim.spoolOffset) pending.push(...events);
    });
    const other = this.#sessions.get(conversationId);
    if (other !== undefined) void this.#endSession(other);
    this.#sessions.set(conversationId, live);
    live.starting = null;
    live.turn = turn;
    this.#turns.set(key, turn);
    this.#saveState(turn);
    await this.#commit(turn, pending, live.session.fedOffset);
    if (turn.recording.ended) {
      live.session.resume();
      return;
    }
    turn.clock = this.#newClock(turn);
    // A word about itself (its session id) shows that the provider runs, not that it has its prompt.
    if (!begun.sent && !heard) {
      turn.forced = {
        outcome: 'interrupted',
        cause: 'prompt_unconfirmed',
        message: 'The turn host died while it handed over the prompt; it is not sent twice.',
      };
      void this.#endSession(live);
    }
    if (row.cancelBy !== null) this.#startLadder(turn, { outcome: 'cancelled', by: row.cancelBy });
    live.session.resume();
    // Not awaited: a process that reads nothing, or is gone, must not hold up the others.
    this.#repeatAnswers(turn, answered).catch((error: unknown) => this.#failed(live, error));
  }

  /** Rebuilds the driver; a session that fails at it is let go. */
  async #replay(live: LiveSession, ...replay: Parameters<Session['replay']>): Promise<void> {
    try {
      await live.session.replay(...replay);
    } catch (error) {
      live.session.detach();
      throw error;
    }
  }

  /** Gives the provider the decisions that were recorded but never handed over. */
  async #repeatAnswers(turn: LiveTurn, answered: ReadonlySet<string>): Promise<void> {
    for (const approvalId of Array.from(turn.recording.openApprovals)) {
      if (answered.has(approvalId)) continue;
      const row = await this.#store.approval(turn.ref.conversationId, approvalId);
      if (row === null || row.decision === null || row.decision === 'withdrawn') continue;
      const { decision, by } = row;
      resolveApproval(turn.recording, { approvalId, decision, by: by ?? 'user' });
      await turn.session.session.call({
        type: 'answer',
        attemptKey: turn.key,
        approvalId,
        decision,
        message: null,
      });
    }
  }

  async #begin(ref: AttemptRef, key: string): Promise<AttemptEnd> {
    const row = await this.#store.attempt(ref.turnId, ref.attempt);
    if (row === null) throw new HoldfastError('not_found', `There is no attempt ${key}.`);
    if (row.outcome !== null) return { outcome: row.outcome, cause: row.cause };
    const conversation = await this.#store.conversation(row.conversationId);
    const prompt = await this.#store.latestAttempt(row.turnId);
    if (conversation === null || prompt === null) throw new HoldfastError('not_found');
    const { place } = row;
    if (place !== null && place.host !== this.host)
      return this.#endLost(row, 'host_lost', `It ran on host ${place.host}, which is gone.`);
    if (place !== null && !this.#mayBeginAgain(place.spool, key))
      return this.#endLost(row, 'process_lost', 'Its process is gone and left no end.');
    if (this.#cancelledBy(key, row) !== null) return this.#endUnstarted(row, key);
    if (this.#settings.room().level !== 'ample') return this.#waitForRoom(row, key);
    const live = this.#sessions.get(row.conversationId);
    if (live !== undefined) {
      if (this.#canServe(live, row, conversation))
        return this.#beginWarm(live, row, key, prompt.content);
      // Two processes of one provider session would fork or corrupt its history.
      await this.#endSession(live);
    }
    return this.#beginCold(row, key, conversation, prompt.content);
  }

  /** Refuses to begin, for now: nothing was sent, and Temporal asks again. Said once for each attempt. */
  async #waitForRoom({ conversationId, turnId, attempt }: AttemptRow, key: string): Promise<never> {
    const text = 'The disk is full; the turn starts when there is room again.';
    await this.#store
      .append({
        stream: conversationStream(conversationId),
        key: `storage_full:${key}`,
        events: [{ type: 'notice', turnId, attempt, payload: { code: 'storage_full', text } }],
      })
      .catch((error: unknown) => {
        this.#log('warn', 'a turn waits for room on the disk', {
          attempt: key,
          error: String(error),
        });
      });
    throw new HoldfastError('storage_full', text);
  }

  /** Whether nothing was sent for this attempt yet, as its spool proves. After a reboot nothing proves it any more. */
  #mayBeginAgain(name: string, key: string): boolean {
    const spool = Spool.open({ root: this.#settings.spoolRoot, name });
    if (spool === null) return false;
    const begun = spool
      .calls()
      .some(({ call }) => call.type === 'begin' && call.attemptKey === key);
    return !begun && spool.spec.bootId === bootId();
  }

  #cancelledBy(key: string, row: AttemptRow): string | null {
    return this.#starting.get(key)?.cancelBy ?? row.cancelBy;
  }

  /** Whether the conversation's process can take this turn too. */
  #canServe(live: LiveSession, row: AttemptRow, conversation: ConversationRow): boolean {
    const { session } = live;
    const { spec } = session.spool;
    return (
      isIdle(live) &&
      session.spool.isAlive() &&
      session.provider.providerId === row.provider &&
      session.provider.capabilities.warmSessions &&
      spec.session.model === row.model &&
      spec.session.workspacePath === conversation.workspacePath &&
      session.fedOffset < this.#settings.sessionSpoolLimitBytes
    );
  }

  async #beginWarm(
    live: LiveSession,
    row: AttemptRow,
    key: string,
    content: string,
  ): Promise<AttemptEnd> {
    // Taken before the first await: two turns must not find the same session free.
    const turn = this.#newTurn({ row, key, live });
    const { session } = live;
    this.#claim(turn, { spool: session.spool.name, from: session.fedOffset });
    await this.#claimed(turn);
    return this.#send(turn, row, content);
  }

  async #beginCold(
    row: AttemptRow,
    key: string,
    conversation: ConversationRow,
    content: string,
  ): Promise<AttemptEnd> {
    const provider = this.#providers.get(row.provider);
    const lookup = await provider?.lookup(this.#settings.environment);
    if (provider === undefined || lookup === undefined || !lookup.found) {
      const message =
        lookup?.found === false ? lookup.problem : `There is no provider "${row.provider}".`;
      return this.#endUnstarted(row, key, {
        outcome: 'failed',
        code: 'provider_not_found',
        message,
      });
    }
    this.#makeRoom();
    // Begun again: whatever an earlier start left must be gone first. A look at every process costs some 10 ms.
    if (row.place !== null || this.#spoolNames().includes(key)) this.#sweepMark(key);
    // Its folder is made anew: an earlier one of that name must not be tidied away later.
    this.#kept = this.#kept.filter(({ name }) => name !== key);
    const resume = provider.capabilities.resume ? conversation.providerSessionId : null;
    const spec = {
      workspacePath: conversation.workspacePath,
      model: row.model,
      resumeSessionId: resume,
      newSessionId: randomUUID(),
    };
    const command = provider.command(lookup.program, spec);
    const environment = {
      ...allowedEnvironment({
        environment: this.#settings.environment,
        names: provider.environmentNames,
      }),
      ...command.environment,
    };
    const spoolSpec: SpoolSpec = {
      mark: key,
      conversationId: row.conversationId,
      providerId: provider.providerId,
      session: spec,
      program: command.program,
      args: command.args,
      environmentNames: Object.keys(environment),
      bootId: bootId(),
      createdAt: new Date().toISOString(),
    };
    const spool = await Spool.create({
      root: this.#settings.spoolRoot,
      name: key,
      spec: spoolSpec,
    });
    const live = this.#newSession({ spool, provider, adopted: false });
    this.#sessions.set(row.conversationId, live);
    const turn = this.#newTurn({ row, key, live });
    // The program starts while the claim is being written: it gets its prompt only when the claim has been granted.
    this.#claim(turn, { spool: key, from: 0 });
    let launchError: string | null = null;
    try {
      live.session.launch(environment);
    } catch (error) {
      launchError = String(error);
    }
    await this.#claimed(turn);
    if (launchError !== null) {
      this.#forget(live);
      live.session.detach();
      return this.#endTurn(turn, startFailed(launchError));
    }
    const patience = AbortSignal.any([AbortSignal.timeout(START_LIMIT_MS), live.session.stopped]);
    const ready = await spool.inputReady(patience);
    if (turn.recording.ended) return turn.ended.promise;
    if (!ready) {
      // One that has ended already says more about it: its exit code and last words.
      if (spool.exitCode() === null) turn.forced ??= startFailed('Its program did not start.');
      void this.#endSession(live);
      return turn.ended.promise;
    }
    return this.#send(turn, row, content);
  }

  /** Hands the prompt to a process that is ready for it. */
  async #send(turn: LiveTurn, row: AttemptRow, content: string): Promise<AttemptEnd> {
    const live = turn.session;
    const cancelBy = this.#cancelledBy(turn.key, row);
    // Cancelled before the prompt was sent: the session did nothing for this turn and may stay.
    if (cancelBy !== null) return this.#endTurn(turn, { outcome: 'cancelled', by: cancelBy });
    this.#turns.set(turn.key, turn);
    live.starting = null;
    live.turn = turn;
    turn.clock = this.#newClock(turn);
    const { session } = live;
    session
      .call({ type: 'begin', attemptKey: turn.key, content })
      .catch((error: unknown) => this.#failed(live, error));
    if (live.unsavedSessionId !== null) await this.#saveSessionId(turn, live.unsavedSessionId);
    return turn.ended.promise;
  }

  /** Asks for custody; {@link #claimed} waits for it. */
  #claim(turn: LiveTurn, place: { spool: string; from: number }): void {
    const claimed = this.#store.claim({ ...turn.ref, host: this.host, place }).then((claim) => {
      turn.fence.epoch = claim.epoch;
      turn.spoolOffset = claim.spoolOffset;
    });
    claimed.catch(() => undefined);
    turn.claimed = claimed;
  }

  /** Custody was granted; else the session is given back (a warm one) or ended, and the refusal thrown. */
  async #claimed(turn: LiveTurn): Promise<void> {
    try {
      await turn.claimed;
    } catch (error) {
      turn.session.starting = null;
      if (turn.session.session.fedOffset === 0) void this.#endSession(turn.session);
      throw error;
    }
  }

  #newTurn(parts: { row: AttemptRow; key: string; live: LiveSession }): LiveTurn {
    const { conversationId, turnId, attempt, requestId } = parts.row;
    const ended = Promise.withResolvers<AttemptEnd>();
    // Nobody may be waiting yet (an adopted turn): its end is no unhandled rejection.
    ended.promise.catch(() => undefined);
    const turn: LiveTurn = {
      ref: { conversationId, turnId, attempt },
      requestId,
      key: parts.key,
      fence: { turnId, attempt, epoch: 0 },
      claimed: Promise.resolve(),
      recording: newRecording({ turnId, attempt, requestId, now }),
      session: parts.live,
      lastOutputAt: now(),
      overAtUptime: uptime() + this.#settings.turnLimitMs / 1_000,
      from: parts.live.session.fedOffset,
      spoolOffset: 0,
      forced: null,
      ladder: null,
      clock: null,
      writes: Promise.resolve(),
      broken: false,
      lastEvent: null,
      cpuMark: { ticks: 0, at: now() },
      ended,
    };
    parts.live.starting = turn;
    return turn;
  }

  #newSession(parts: { spool: Spool; provider: Provider; adopted: boolean }): LiveSession {
    const listener: SessionListener = {
      reports: (reports, offset) => this.#reports(live, reports, offset),
      ended: (end) => this.#processEnded(live, end),
      failed: (error) => this.#failed(live, error),
    };
    const live: LiveSession = {
      conversationId: parts.spool.spec.conversationId,
      session: new Session({ ...parts, listener, lineLimitBytes: this.#settings.lineLimitBytes }),
      starting: null,
      turn: null,
      idleSince: performance.now(),
      doomed: false,
      ending: null,
      gone: Promise.withResolvers(),
      unsavedSessionId: null,
    };
    return live;
  }

  async #reports(live: LiveSession, reports: ProviderReport[], offset: number): Promise<void> {
    const { turn } = live;
    const session = reports.find((report) => report.type === 'session');
    if (turn === null) {
      if (session !== undefined) live.unsavedSessionId = session.sessionId;
      return;
    }
    if (reports.length === 0 || turn.broken) return;
    turn.lastOutputAt = now();
    if (turn.spoolOffset <= turn.from) this.#saveState(turn);
    if (session !== undefined) await this.#saveSessionId(turn, session.sessionId);
    const events = reports.flatMap((report) => recordOrForce(turn, report));
    // After the recording: the limits are those of the phase that this output began.
    turn.clock?.output();
    await this.#commit(turn, events, offset);
  }

  /** A shortcut for whoever adopts, who can also find the process by its pid file and its mark: no reason to fail a turn. */
  #saveState({ session, fence, key }: LiveTurn): void {
    try {
      session.session.spool.saveState({ epoch: fence.epoch, ownerPid: process.pid });
    } catch (error) {
      this.#log('warn', 'the state of a spool was not saved', {
        attempt: key,
        error: String(error),
      });
    }
  }

  async #saveSessionId(turn: LiveTurn, sessionId: string): Promise<void> {
    turn.session.unsavedSessionId = null;
    await this.#patiently(turn, () =>
      this.#store.saveProviderSession({ ...turn.fence }, turn.ref.conversationId, sessionId),
    );
  }

  /** Appends what was recorded; when that held the attempt's end, ends it here too. */
  async #commit(turn: LiveTurn, events: NewEvent[], offset: number): Promise<void> {
    if (events.length === 0) return;
    const end = endOf(events);
    const key = end === null ? undefined : appendKey.end(turn.ref.turnId, turn.ref.attempt);
    try {
      await this.#append(turn, {
        events: coalesce(events),
        spoolOffset: offset,
        ...(key === undefined ? {} : { key }),
      });
    } catch (error) {
      // What comes now would have a hole before it: of this turn only its end is recorded. The store closes what is open.
      const { turnId, attempt } = turn.ref;
      turn.broken = true;
      turn.recording = newRecording({ turnId, attempt, requestId: turn.requestId, now });
      throw error;
    }
    turn.spoolOffset = offset;
    turn.lastEvent = events.at(-1)?.type ?? turn.lastEvent;
    if (end !== null) this.#finish(turn, end);
  }

  /** Ends the attempt by our own word: its process is gone, or nothing was ever sent to it. */
  async #endTurn(turn: LiveTurn, end: ForcedEnd): Promise<AttemptEnd> {
    await this.#commit(turn, forceEnd(turn.recording, end), turn.session.session.fedOffset);
    return turn.ended.promise;
  }

  #finish(turn: LiveTurn, end: AttemptEnd): void {
    const { session } = turn;
    session.starting = null;
    session.turn = null;
    session.idleSince = performance.now();
    this.#turns.delete(turn.key);
    turn.clock?.stop();
    turn.ended.resolve(end);
    // Doomed: it may say that the turn has ended and still not end itself.
    const { warmSessions } = session.session.provider.capabilities;
    if (session.doomed || !warmSessions) void this.#endSession(session);
  }

  /** An attempt that cannot go on and has no process here: ended from what the log shows as open. */
  async #endLost(row: AttemptRow, cause: string, message: string): Promise<AttemptEnd> {
    return this.#endUnstarted(row, attemptKey(row.turnId, row.attempt), {
      outcome: 'interrupted',
      cause,
      message,
    });
  }

  async #endUnstarted(row: AttemptRow, key: string, end?: ForcedEnd): Promise<AttemptEnd> {
    this.#sweepMark(row.place?.spool ?? key);
    const { turnId, attempt, requestId } = row;
    const by = this.#cancelledBy(key, row) ?? 'user';
    const view = await this.#store.snapshot(row.conversationId, 1_000);
    const open = view === null ? null : recordingOfView(view, now);
    const recording = open ?? newRecording({ turnId, attempt, requestId, now });
    const claim = await this.#store.claim({
      conversationId: row.conversationId,
      turnId,
      attempt,
      host: this.host,
      place: row.place === null ? { spool: key, from: 0 } : null,
    });
    const events = forceEnd(recording, end ?? { outcome: 'cancelled', by });
    await this.#store.append({
      stream: conversationStream(row.conversationId),
      fence: { turnId, attempt, epoch: claim.epoch },
      key: appendKey.end(turnId, attempt),
      events,
    });
    const after = await this.#store.attempt(turnId, attempt);
    return { outcome: after?.outcome ?? 'interrupted', cause: after?.cause ?? null };
  }

  async #processEnded(live: LiveSession, end: ProcessEnd): Promise<void> {
    // P1: what the process left behind goes with it, before anybody hears of the end.
    live.session.sweep();
    this.#forget(live);
    const turn = live.turn ?? live.starting;
    if (turn !== null) {
      const granted = await turn.claimed.then(
        () => true,
        () => false,
      );
      // One that died because it could not write shows nothing but its death.
      const full = this.#settings.room().level === 'exhausted' && end.startError === null;
      const reason = turn.forced ?? (full ? STORAGE_FULL : exitedEnd(live, end));
      if (granted) await this.#endTurn(turn, reason);
    }
    live.session.detach();
    live.gone.resolve();
    if (live.session.fedOffset > KEPT_SPOOL_BYTES) live.session.spool.remove();
    else this.#keepNewest([live.session.spool]);
  }

  #forget(live: LiveSession): void {
    if (this.#sessions.get(live.conversationId) === live)
      this.#sessions.delete(live.conversationId);
  }

  #newClock(turn: LiveTurn): SilenceClock {
    const { provider, spool } = turn.session.session;
    const { mark } = spool.spec;
    return new SilenceClock({
      limits: (phase) => this.#settings.silence({ provider: provider.providerId, phase }),
      phase: () => phaseOf(turn.recording),
      isBehind: () => turn.session.session.isBehind(),
      onMark: () => {
        turn.cpuMark = { ticks: cpuTicksUnder(mark), at: now() };
      },
      onQuiet: (silence) => {
        this.#sayQuiet(turn, silence).catch((error: unknown) => this.#failed(turn.session, error));
        this.#events.onQuiet?.({ ...turn.ref, quiet: true });
      },
      onHeard: () => this.#events.onQuiet?.({ ...turn.ref, quiet: false }),
      onStalled: ({ phase, silentMs }) => {
        const seconds = Math.round(silentMs / 1_000);
        this.#startLadder(turn, {
          outcome: 'interrupted',
          cause: 'stalled',
          message: `The provider said nothing for ${seconds} s (${phase}); it was stopped.`,
        });
      },
    });
  }

  async #sayQuiet(turn: LiveTurn, { phase, silentMs }: Silence): Promise<void> {
    if (turn.recording.ended || turn.ladder !== null) return;
    const { session } = turn.session;
    const { mark } = session.spool.spec;
    const evidence = {
      lastEvent: turn.lastEvent,
      lastOutputAt: turn.lastOutputAt,
      processAlive: session.spool.isAlive(),
      pid: session.identity?.pid ?? null,
      cpuMsUsed: (cpuTicksUnder(mark) - turn.cpuMark.ticks) * MS_PER_TICK,
      cpuMsUsedSince: turn.cpuMark.at,
      processes: processesUnder(mark).length,
    };
    await this.#append(turn, {
      events: [
        {
          type: 'chat.quiet',
          ...turn.recording.place,
          payload: { phase, silentMs: Math.round(silentMs), evidence },
        },
      ],
    });
  }

  #timeLimit(): ForcedEnd {
    const hours = Math.round(this.#settings.turnLimitMs / 360_000) / 10;
    return {
      outcome: 'interrupted',
      cause: 'time_limit',
      message: `The turn ran for ${hours} hours, the most a turn may; the provider was stopped.`,
    };
  }

  #startLadder(turn: LiveTurn, end: ForcedEnd): void {
    turn.forced ??= end;
    turn.ladder ??= this.#ladder(turn, end).catch((error: unknown) =>
      this.#failed(turn.session, error),
    );
  }

  /** Protocol cancel → TERM → KILL → sweep; each step is recorded before its effect can be. Source: design.md section 5. */
  async #ladder(turn: LiveTurn, end: ForcedEnd): Promise<void> {
    const { session } = turn.session;
    const by = end.outcome === 'cancelled' ? end.by : 'holdfast';
    requestCancel(turn.recording, by);
    if (session.provider.capabilities.protocolCancel) {
      const recorded = this.#step(turn, { step: 'protocol' });
      // Not awaited: a provider that reads nothing must not hold up the ladder.
      session
        .call({ type: 'cancel', attemptKey: turn.key })
        .catch((error: unknown) => this.#failed(turn.session, error));
      await recorded;
      if (await endsWithin(turn, this.#settings.cancelGraceMs)) return;
    }
    turn.session.doomed = true;
    await this.#step(turn, { step: 'terminate' });
    if (turn.recording.ended) {
      void this.#endSession(turn.session);
      return;
    }
    session.terminate();
    if (await endsWithin(turn, this.#settings.termGraceMs)) return;
    await this.#step(turn, { step: 'kill' });
    session.kill();
    const pids = session.sweep();
    await this.#step(turn, { step: 'sweep', pids });
    // A killed process is not gone at once, and nothing tells when it is.
    const deadlineMs = performance.now() + GONE_LIMIT_MS;
    do session.wake();
    while (!(await endsWithin(turn, GONE_LOOK_MS)) && performance.now() < deadlineMs);
  }

  /** Records a step. One that cannot be recorded in time is no reason to leave the process alive; only a newer custody is. */
  async #step(
    turn: LiveTurn,
    payload: Extract<NewEvent, { type: 'chat.cancelling' }>['payload'],
  ): Promise<void> {
    if (turn.recording.ended || turn.broken) return;
    const recorded = this.#append(turn, {
      events: [{ type: 'chat.cancelling', ...turn.recording.place, payload }],
    }).catch((error: unknown) => {
      this.#log('error', 'a step of a cancel was not recorded', {
        attempt: turn.key,
        error: String(error),
      });
      return isHoldfastError(error) && error.code === 'fenced' ? error : undefined;
    });
    const fenced = await Promise.race([recorded, pause(STEP_RECORD_LIMIT_MS)]);
    if (fenced !== undefined) throw fenced;
  }

  /** Appends under this custody's epoch, again and again until it is stored or refused for good. */
  async #append(
    turn: LiveTurn,
    append: { events: NewEvent[]; key?: string; spoolOffset?: number },
  ): Promise<void> {
    const stream = conversationStream(turn.ref.conversationId);
    // One after the other: an append that is being tried again must not be overtaken by a later one.
    const write = turn.writes.then(() =>
      this.#patiently(turn, () =>
        this.#store.append({ stream, fence: { ...turn.fence }, ...append }),
      ),
    );
    turn.writes = write.catch(() => undefined);
    await write;
  }

  /**
   * The bytes are safe in the spool; what the store cannot take now (busy, full) it is given again, however long that
   * takes. Throws `fenced`, and what no repetition changes.
   */
  async #patiently<T>(turn: LiveTurn, write: () => Promise<T>): Promise<T> {
    let hopeless = 0;
    let said = false;
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
      try {
        return await write();
      } catch (error) {
        if (this.#closed.signal.aborted) throw error;
        if (isHoldfastError(error) && error.code === 'fenced') {
          this.#letGo(turn.session, error);
          throw error;
        }
        if (!isPassing(error)) hopeless += 1;
        // A broken turn writes nothing but its end, and that is owed.
        if (hopeless >= HOPELESS_TRIES && !turn.broken) throw error;
        // What it goes on saying costs money, and nobody can be shown it.
        if (isStorageFull(error) && this.#turns.has(turn.key))
          this.#startLadder(turn, STORAGE_FULL);
        if (!said)
          this.#log('error', 'the store refused an append; trying again until it takes it', {
            attempt: turn.key,
            error: String(error),
          });
        said = true;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  /** F1: a newer custody has this turn. The process is its, not ours to end. */
  #letGo(live: LiveSession, reason: Error): void {
    const turn = live.turn ?? live.starting;
    live.session.detach();
    live.gone.resolve();
    live.turn = null;
    live.starting = null;
    this.#forget(live);
    if (turn === null) return;
    this.#turns.delete(turn.key);
    turn.clock?.stop();
    this.#log('warn', 'a newer custody has taken this turn; letting go', { attempt: turn.key });
    turn.ended.reject(reason);
    this.#mayBeSuperseded(turn).catch((error: unknown) =>
      this.#log('warn', 'who took the turn is not known', { error: String(error) }),
    );
  }

  /** Whether a turn was lost to another process of this very host: then all of them are, and what Temporal has for the host. */
  async #mayBeSuperseded(turn: LiveTurn): Promise<void> {
    const row = await this.#store.attempt(turn.ref.turnId, turn.ref.attempt);
    if (row !== null && row.place?.host === this.host && row.epoch > turn.fence.epoch)
      this.#events.onSuperseded?.();
  }

  #failed(live: LiveSession, error: unknown): void {
    if (this.#closed.signal.aborted) return;
    if (isHoldfastError(error) && error.code === 'fenced') return;
    this.#log('error', 'a session failed', {
      conversationId: live.conversationId,
      attempt: live.turn?.key,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    // A turn that cannot be recorded must not look as if it went on.
    if (live.turn !== null)
      this.#startLadder(
        live.turn,
        isStorageFull(error)
          ? STORAGE_FULL
          : {
              outcome: 'interrupted',
              cause: 'internal_error',
              message: 'Holdfast failed to record this turn; its log says why.',
            },
      );
  }

  /** Ends the process; resolves when it is gone. */
  #endSession(live: LiveSession): Promise<void> {
    live.ending ??= live.session
      .end()
      // Its last sweep is by mark: it must be over before anything else may carry that mark.
      .then(() => Promise.race([live.gone.promise, pause(GONE_LIMIT_MS)]))
      .catch((error: unknown) => this.#failed(live, error));
    return live.ending;
  }

  /** Ends the session that has been idle longest, when there are as many as may be. */
  #makeRoom(): void {
    if (this.#sessions.size < this.#settings.sessionLimit) return;
    const idle = [...this.#sessions.values()]
      .filter(isIdle)
      .toSorted((a, b) => a.idleSince - b.idleSince)[0];
    if (idle !== undefined) void this.#endSession(idle);
  }

  #sweepMark(mark: string): void {
    for (const found of markedProcesses())
      if (found.mark === mark && signalProcess(found, 'SIGKILL'))
        this.#log('warn', 'killed a stray process', { pid: found.pid, mark });
  }

  #spoolNames(): string[] {
    return readdirSync(this.#settings.spoolRoot).filter((name) => parseAttemptKey(name) !== null);
  }

  /** A folder without a readable spec: it was being made when its maker died; nothing was started in it. */
  #discardFolder(name: string): void {
    this.#sweepMark(name);
    rmSync(join(this.#settings.spoolRoot, name), { recursive: true, force: true });
  }

  /** Removes ended spools but the newest few. */
  #keepNewest(candidates: readonly Spool[]): void {
    this.#kept.push(
      ...candidates.toSorted((a, b) => (a.spec.createdAt < b.spec.createdAt ? -1 : 1)),
    );
    for (const spool of this.#kept.splice(0, Math.max(0, this.#kept.length - KEPT_SPOOLS)))
      spool.remove();
  }
}

/**
 * The events of one report. A provider that obeys our stop of a silent turn says "cancelled"; nobody cancelled it, so it
 * ends by the reason for which it was stopped.
 */
function recordOrForce(turn: LiveTurn, report: ProviderReport): NewEvent[] {
  const stopped = report.type === 'end' && report.end.outcome === 'cancelled';
  return stopped && turn.forced?.outcome === 'interrupted'
    ? forceEnd(turn.recording, turn.forced)
    : record(turn.recording, report);
}

function processesUnder(mark: string): number[] {
  return markedProcesses()
    .filter((found) => found.mark === mark)
    .map(({ pid }) => pid);
}

function cpuTicksUnder(mark: string): number {
  return processesUnder(mark).reduce((sum, pid) => sum + (processFacts(pid)?.cpuTicks ?? 0), 0);
}

/** The store's word for it, or the file system's. */
function isStorageFull(error: unknown): boolean {
  if (isHoldfastError(error)) return error.code === 'storage_full';
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Whether the same write may succeed later: the disk is full, or another process holds the database. */
function isPassing(error: unknown): boolean {
  return isStorageFull(error) || (isHoldfastError(error) && error.code === 'internal');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

function isIdle(live: LiveSession): boolean {
  const { turn, starting, doomed, ending, session } = live;
  return turn === null && starting === null && !doomed && ending === null && !session.hasEnded;
}

/** The end that these events hold, or null. */
function endOf(events: readonly NewEvent[]): AttemptEnd | null {
  for (const event of events)
    switch (event.type) {
      case 'chat.done':
        return { outcome: 'completed', cause: null };
      case 'chat.error':
        return { outcome: 'failed', cause: event.payload.code };
      case 'chat.cancelled':
        return { outcome: 'cancelled', cause: event.payload.by };
      case 'chat.interrupted':
        return { outcome: 'interrupted', cause: event.payload.cause };
      default:
    }
  return null;
}

function now(): string {
  return new Date().toISOString();
}

function startFailed(text: string): ForcedEnd {
  return { outcome: 'failed', code: 'provider_start_failed', message: text };
}

function exitedEnd(live: LiveSession, end: ProcessEnd): ForcedEnd {
  const { spool } = live.session;
  if (end.startError !== null) return startFailed(end.startError);
  const tail = end.stderrTail.trim().slice(-2_000);
  const said = tail === '' ? '' : ` It said: ${tail}`;
  if (end.exitCode === null && spool.spec.bootId !== bootId())
    return {
      outcome: 'interrupted',
      cause: 'host_rebooted',
      message: `The machine was restarted while the turn ran.${said}`,
    };
  if (end.exitCode === null)
    return { outcome: 'interrupted', cause: 'provider_died', message: `The provider died.${said}` };
  return {
    outcome: 'interrupted',
    cause: 'provider_exited',
    message: `The provider exited with code ${end.exitCode} before it ended the turn.${said}`,
  };
}

async function endsWithin(turn: LiveTurn, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const ended = turn.ended.promise.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([ended, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
