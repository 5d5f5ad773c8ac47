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
 *  P3 an attempt is `interrupted` only when its provider writes nothing more for it: its process is gone, or has obeyed.
 *  The prompt is sent at most once: it is sent only when no call that begins the attempt is recorded in the spool.
 *
 * What can die when: see docs/seam.md.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { NewEvent } from '../contracts/events.ts';
import { appendKey, attemptKey, conversationStream } from '../contracts/ids.ts';
import type {
  ApprovalDecision,
  Provider,
  ProviderReport,
  TurnPrompt,
} from '../contracts/provider-events.ts';
import {
  coalesce,
  type ForcedEnd,
  forceEnd,
  newRecording,
  phaseOf,
  recordingOfView,
  resolveApproval,
} from '../domain/segments.ts';
import { awakeSeconds, bootId } from '../providers/process/process-table.ts';
import { Spool, type SpoolSpec } from '../providers/process/spool.ts';
import type { AttemptRow, ConversationRow, Heads, Store } from '../store/port.ts';
import { conversationOfStream } from '../store/stored-event.ts';
import { isFenced, isPassing, isStorageFull } from '../store/write-failures.ts';
import { type AdoptingCustody, Adoption, spoolNames } from './adoption.ts';
import {
  endOf,
  exitedEnd,
  foundBy,
  hasLostItsSession,
  interrupted,
  pastLimit,
  recordOrForce,
  sessionIdOf,
  startFailed,
  STORAGE_FULL,
} from './attempt-ends.ts';
import { climbLadder } from './cancel-ladder.ts';
import { historyBefore, makeSpool, sessionToResume } from './cold-start.ts';
import type { CustodyEvents, CustodyLog, CustodySettings } from './custody-settings.ts';
import {
  type AttemptEnd,
  type AttemptRef,
  type AttemptStatus,
  isIdle,
  type LiveSession,
  type LiveTurn,
} from './live-turn.ts';
import { killUnder, strayKilled, useUnder } from './marks.ts';
import { type ProcessEnd, Session, type SessionListener } from './session.ts';
import { type Silence, SilenceClock } from './silence.ts';
import { SpoolShelf } from './spool-shelf.ts';
import { type SteerAnswer, Steering, type SteerRequest } from './steering.ts';

/** Longest wait for a killed process to be accounted for. */
const GONE_LIMIT_MS = 5_000;
/** Between two looks at who took a turn. */
const SUPERSEDED_LOOK_MS = 200;
/** Tries of a write that the store refuses for a reason that time does not heal. */
const HOPELESS_TRIES = 3;
/** A program that has shown no pid by then will not. */
const START_LIMIT_MS = 30_000;
const SESSION_LOST =
  'The provider has lost its session. The turn goes on in a new one, which is told what was said before.';
const WAITS_FOR_ROOM = 'The disk is full; the turn starts when there is room again.';

/** A person's answer to an open approval. */
type ApprovalAnswer = AttemptRef & {
  approvalId: string;
  decision: ApprovalDecision;
  by: string;
  message: string | null;
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
  /** Answers to approvals that are being recorded, by attempt and approval. */
  readonly #answering = new Map<string, Promise<boolean>>();
  /** Attempts that could not be claimed for want of room: the next try writes something small first. */
  readonly #refusedForRoom = new Set<string>();
  /** Before that, a conversation's process may still be found. */
  #adopted = false;
  #deadRecorded = Promise.resolve();
  /** Whether another process has this host's custody; null: there is no reason to ask. */
  #superseded: Promise<boolean> | null = null;
  readonly #closed = new AbortController();
  readonly #shelf = new SpoolShelf();
  readonly #steering: Steering;

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
    this.#steering = new Steering({
      store: parts.store,
      providers: parts.providers,
      custody: {
        turn: (key) => this.#turns.get(key),
        starting: (key) => this.#starting.get(key),
        begin: (row) => {
          const host = row.place?.host ?? this.host;
          if (!this.#adopted || host !== this.host) return false;
          this.run(row).catch(() => undefined);
          return true;
        },
        failed: (turn, error) => this.#failed(turn.session, error),
      },
    });
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
    entry.promise
      .then(
        () => this.#steering.ended(key),
        (error: unknown) => this.#steering.lost(key, error),
      )
      .finally(() => this.#starting.delete(key));
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

  /**
   * To be told of the streams that grew, with their newest seq. What the workflow has decided and recorded in one of them is
   * begun at once: a turn of a conversation that is pinned here, a cancel (C1). The activity that asks for it comes some
   * 15 ms later, and finds it begun; when nobody was told, it begins it.
   */
  notice(heads: Heads): void {
    const busy = new Set<string>();
    for (const turn of this.#turns.values()) {
      const stream = conversationStream(turn.ref.conversationId);
      busy.add(stream);
      if ((heads.get(stream) ?? 0) > turn.ownSeq) this.#lookForCancel(turn);
    }
    if (!this.#adopted) return;
    for (const stream of heads.keys()) {
      const conversationId = conversationOfStream(stream);
      if (conversationId === null || busy.has(stream)) continue;
      // Whatever it fails of, the activity meets too, and tells.
      this.#beginRecordedTurn(conversationId).catch(() => undefined);
    }
  }

  async #beginRecordedTurn(conversationId: string): Promise<void> {
    const turn = await this.#store.unclaimedAttempt(conversationId, this.host);
    if (turn !== null && !this.#closed.signal.aborted) await this.run(turn);
  }

  /** Somebody else has written into its log. */
  #lookForCancel(turn: LiveTurn): void {
    if (turn.ladder !== null) return;
    this.#beginRecordedCancel(turn).catch((error: unknown) => this.#failed(turn.session, error));
  }

  async #beginRecordedCancel(turn: LiveTurn): Promise<void> {
    const row = await this.#store.attempt(turn.ref.turnId, turn.ref.attempt);
    if (row === null || row.cancelBy === null || !this.#turns.has(turn.key)) return;
    this.#startLadder(turn, { outcome: 'cancelled', by: row.cancelBy });
  }

  /** Gives a message to a running attempt, see {@link Steering.give}. */
  steer(request: SteerRequest): Promise<SteerAnswer> {
    return this.#steering.give(request);
  }

  /** Records the answer to an open approval and gives it to the provider. False when that approval is not open. */
  answer(request: ApprovalAnswer): Promise<boolean> {
    const key = `${attemptKey(request.turnId, request.attempt)}:${request.approvalId}`;
    // Asked again while it is being recorded: it is answered when that is done, not before.
    const answering = this.#answering.get(key);
    if (answering !== undefined) return answering;
    const answer = this.#answer(request).finally(() => this.#answering.delete(key));
    this.#answering.set(key, answer);
    return answer;
  }

  async #answer(request: ApprovalAnswer): Promise<boolean> {
    const turn = this.#turns.get(attemptKey(request.turnId, request.attempt));
    if (turn === undefined) return false;
    const { approvalId, decision, by, message } = request;
    const events = resolveApproval(turn.recording, { approvalId, decision, by });
    if (events.length === 0) return false;
    // Recorded first: after a crash in between, the adopting process reads the decision and gives the answer again.
    try {
      await this.#append(turn, { events, key: `approval:${turn.key}:${approvalId}` });
    } catch (error) {
      turn.recording.openApprovals.add(approvalId);
      throw error;
    }
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
    const upSeconds = awakeSeconds();
    for (const turn of this.#turns.values())
      if (upSeconds > turn.overAtSeconds)
        this.#startLadder(turn, pastLimit(this.#settings.turnLimitMs));
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

  /** Once adoption has resolved: resolves when the end of everything that it found dead is recorded. */
  get deadRecorded(): Promise<void> {
    return this.#deadRecorded;
  }

  /** Takes over what an earlier process of this host left. To be called once, before anything is run. */
  async adopt(): Promise<{ attempts: number; sessions: number }> {
    const custody: AdoptingCustody = {
      newSession: (parts) => this.#newSession(parts),
      newTurn: (parts) => this.#newTurn(parts),
      newClock: (turn) => this.#newClock(turn),
      noLongerQuiet: ({ ref }) => this.#events.onQuiet?.({ ...ref, quiet: false }),
      sessionOf: (conversationId) => this.#sessions.get(conversationId),
      hold: (live) => void this.#sessions.set(live.conversationId, live),
      give: (live, turn) => this.#give(live, turn),
      saveState: (turn) => this.#saveState(turn),
      steering: this.#steering,
      commit: (turn, events, offset) => this.#commit(turn, events, offset),
      endUnstarted: (row, end) => this.#endUnstarted(row, end),
      endSession: (live) => this.#endSession(live),
      startLadder: (turn, end) => this.#startLadder(turn, end),
      failed: (live, error) => this.#failed(live, error),
      drop: (spool) => this.#drop(spool),
      shelve: (ended) => this.#shelf.add(ended),
      marks: () =>
        new Set([...this.#sessions.values()].map(({ session }) => session.spool.spec.mark)),
    };
    const { dead, lost } = await new Adoption({
      store: this.#store,
      providers: this.#providers,
      settings: this.#settings,
      log: this.#log,
      custody,
    }).run();
    this.#deadRecorded = Promise.allSettled(dead).then(() => undefined);
    this.#adopted = true;
    // After the sweep of strays, which would take their new processes for some.
    for (const turn of lost) void this.#goOnWithoutItsSession(turn);
    return { attempts: this.#turns.size, sessions: this.#sessions.size };
  }

  /** `again`: its process has said that it did not begin. */
  async #begin(ref: AttemptRef, key: string, again = false): Promise<AttemptEnd> {
    if ((await this.#superseded) === true)
      throw new HoldfastError('fenced', 'Another process has custody of this host.');
    const row = await this.#store.attempt(ref.turnId, ref.attempt);
    if (row === null) throw new HoldfastError('not_found', `There is no attempt ${key}.`);
    if (row.outcome !== null) return { outcome: row.outcome, cause: row.cause };
    const conversation = await this.#store.conversation(row.conversationId);
    const prompt = await this.#store.latestAttempt(row.turnId);
    if (conversation === null || prompt === null) throw new HoldfastError('not_found');
    const { place } = row;
    if (place !== null && place.host !== this.host) {
      const message = `It ran on host ${place.host}, which is gone.`;
      return this.#endUnstarted(row, interrupted('host_lost', message));
    }
    if (place !== null && !again && !this.#mayBeginAgain(place.spool, key)) {
      const message = 'Its process is gone and left no end.';
      return this.#endUnstarted(row, interrupted('process_lost', message));
    }
    if (this.#cancelledBy(key, row) !== null) return this.#endUnstarted(row);
    if (this.#settings.room().level !== 'ample') return this.#waitForRoom(row, key);
    // Where the file system shows no lack of room (a quota), the store does: before a process is started for it.
    if (this.#refusedForRoom.delete(key)) await this.#sayThatItWaits(row, key);
    const live = this.#sessions.get(row.conversationId);
    if (live !== undefined) {
      const { content } = prompt;
      // The turn that it was started for was cancelled before its prompt, with what was said before, was sent.
      const history = live.session.isUntold ? await historyBefore(this.#store, row) : undefined;
      if (this.#canServe(live, row, conversation))
        return this.#beginWarm(
          live,
          row,
          key,
          history === undefined ? { content } : { content, history },
        );
      // Two processes of one provider session would fork or corrupt its history.
      await this.#endSession(live);
    }
    return this.#beginCold(row, key, conversation, prompt);
  }

  /** Refuses to begin, for now: nothing was sent, and Temporal asks again. */
  async #waitForRoom(row: AttemptRow, key: string): Promise<never> {
    await this.#sayThatItWaits(row, key).catch((error: unknown) =>
      this.#log('warn', 'a turn waits for room on the disk', {
        attempt: key,
        error: String(error),
      }),
    );
    throw new HoldfastError('storage_full', WAITS_FOR_ROOM);
  }

  /** Once for each attempt. */
  async #sayThatItWaits({ conversationId, turnId, attempt }: AttemptRow, key: string) {
    const payload = { code: 'storage_full', text: WAITS_FOR_ROOM };
    try {
      await this.#store.append({
        stream: conversationStream(conversationId),
        key: `storage_full:${key}`,
        events: [{ type: 'notice', turnId, attempt, payload }],
      });
    } catch (error) {
      if (isStorageFull(error)) this.#refusedForRoom.add(key);
      throw error;
    }
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
      // It knows what has been cut since, or does not know what was said elsewhere.
      (spec.sessionGeneration ?? 0) === conversation.sessionGeneration &&
      spec.session.model === row.model &&
      spec.session.workspacePath === conversation.workspacePath &&
      this.#reachesItsTeam(spec) &&
      session.fedOffset < this.#settings.sessionSpoolLimitBytes
    );
  }

  /** Whether its tools are where they were when it began: a provider is told of them once. */
  #reachesItsTeam({ conversationId, mcpUrl }: SpoolSpec): boolean {
    const mcp = this.#settings.mcp(conversationId);
    return mcp === null || mcp.url === mcpUrl;
  }

  async #beginWarm(
    live: LiveSession,
    row: AttemptRow,
    key: string,
    prompt: Omit<TurnPrompt, 'attemptKey'>,
  ): Promise<AttemptEnd> {
    // Taken before the first await: two turns must not find the same session free.
    const turn = this.#newTurn({ row, key, live });
    const { session } = live;
    this.#claim(turn, { spool: session.spool.name, from: session.fedOffset });
    await this.#claimed(turn);
    return this.#send(turn, row, prompt);
  }

  async #beginCold(
    row: AttemptRow,
    key: string,
    conversation: ConversationRow,
    { content }: { content: string },
  ): Promise<AttemptEnd> {
    const provider = this.#providers.get(row.provider);
    const lookup = await provider?.lookup(this.#settings.environment);
    if (provider === undefined || lookup === undefined || !lookup.found) {
      const message =
        lookup?.found === false ? lookup.problem : `There is no provider "${row.provider}".`;
      return this.#endUnstarted(row, { outcome: 'failed', code: 'provider_not_found', message });
    }
    this.#makeRoom();
    // Begun again: whatever an earlier start left must be gone first. A look at every process costs some 10 ms.
    if (row.place !== null || spoolNames(this.#settings.spoolRoot).includes(key)) {
      const events = this.#killLeftOver(row, key);
      const stream = conversationStream(row.conversationId);
      if (events.length > 0) await this.#store.append({ stream, events });
    }
    this.#shelf.forget(key);
    const isNew = sessionToResume({ provider, row, conversation }) === null;
    const history = isNew ? await historyBefore(this.#store, row) : undefined;
    const start = { settings: this.#settings, provider, program: lookup.program };
    const { spool, environment } = await makeSpool({ ...start, row, key, conversation });
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
    return this.#send(turn, row, { content, ...(history === undefined ? {} : { history }) });
  }

  /** Hands the prompt to a process that is ready for it. */
  async #send(
    turn: LiveTurn,
    row: AttemptRow,
    prompt: Omit<TurnPrompt, 'attemptKey'>,
  ): Promise<AttemptEnd> {
    const live = turn.session;
    const cancelBy = this.#cancelledBy(turn.key, row);
    // Cancelled before the prompt was sent: the session did nothing for this turn and may stay.
    if (cancelBy !== null) return this.#endTurn(turn, { outcome: 'cancelled', by: cancelBy });
    this.#give(live, turn);
    turn.clock = this.#newClock(turn);
    const { session } = live;
    session
      .call({ type: 'begin', attemptKey: turn.key, ...prompt })
      .catch((error: unknown) => this.#failed(live, error));
    this.#steering.offer(turn);
    if (live.unsavedSessionId !== null) await this.#saveSessionId(turn, live.unsavedSessionId);
    return turn.ended.promise;
  }

  /** What the session's provider says is this turn's from now on. */
  #give(live: LiveSession, turn: LiveTurn): void {
    live.starting = null;
    live.turn = turn;
    this.#turns.set(turn.key, turn);
  }

  /** Undoes what adoption took of a spool that it could not finish. The process is not touched. */
  #drop(spool: Spool): LiveTurn | null {
    const live = [...this.#sessions.values()].find((each) => each.session.spool === spool);
    if (live === undefined) return null;
    const { turn } = live;
    live.session.detach();
    live.gone.resolve();
    live.turn = null;
    this.#forget(live);
    if (turn === null) return null;
    this.#turns.delete(turn.key);
    turn.clock?.stop();
    return turn;
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
      if (isStorageFull(error)) this.#refusedForRoom.add(turn.key);
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
      overAtSeconds: awakeSeconds() + this.#settings.turnLimitMs / 1_000,
      from: parts.live.session.fedOffset,
      spoolOffset: 0,
      stateSaved: false,
      forced: null,
      ladder: null,
      boot: null,
      clock: null,
      ownSeq: 0,
      writes: Promise.resolve(),
      broken: false,
      lastEvent: null,
      cpuMark: { usedMs: 0, at: now() },
      ended,
    };
    parts.live.starting = turn;
    return turn;
  }

  #newSession(parts: { spool: Spool; provider: Provider; adopted: boolean }): LiveSession {
    const listener: SessionListener = {
      reports: (reports, offset) => this.#reports(live, reports, offset),
      ended: (end) => this.#processEnded(live, end),
      failed: (error) => {
        // What it had read may not have been handed over.
        if (live.turn !== null) breakOff(live.turn);
        this.#failed(live, error);
      },
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
    const sessionId = sessionIdOf(reports);
    if (turn === null) {
      live.unsavedSessionId = sessionId ?? live.unsavedSessionId;
      return;
    }
    if (reports.length === 0 || turn.broken) return;
    turn.lastOutputAt = now();
    if (hasLostItsSession(turn, reports) && (await this.#sayThatItsSessionIsLost(turn))) {
      void this.#beginInNewSession(turn);
      return;
    }
    if (!turn.stateSaved) this.#saveState(turn);
    // Beside the append, and before it in the queue of writes: the attempt may end in this very batch.
    const saved = sessionId === undefined ? null : this.#saveSessionId(turn, sessionId);
    const events = reports.flatMap((report) => recordOrForce(turn, report));
    // After the recording: the limits are those of the phase that this output began.
    turn.clock?.output();
    await this.#commit(turn, events, offset);
    this.#steering.offer(turn);
    await saved;
  }

  /**
   * Notes that the provider's session is gone, once for each attempt. From then on a process of this conversation begins a new
   * one. False: somebody has ended the turn meanwhile, and it ends as it is. Throws: as an append.
   */
  async #sayThatItsSessionIsLost(turn: LiveTurn): Promise<boolean> {
    turn.clock?.stop();
    const { conversationId } = turn.ref;
    const { sessionGeneration = 0 } = turn.session.session.spool.spec;
    await this.#patiently(turn, () =>
      this.#store.saveProviderSession({ ...turn.fence }, conversationId, null, sessionGeneration),
    );
    const payload = { code: 'session_lost', text: SESSION_LOST };
    await this.#append(turn, {
      events: [{ type: 'notice', ...turn.recording.place, payload }],
      key: `session_lost:${turn.key}`,
    });
    return turn.forced === null && turn.ladder === null;
  }

  /** Begins an attempt again whose provider had not begun. Whoever waits for it waits for that. */
  async #beginInNewSession({ key, ref, session: live, ended }: LiveTurn): Promise<void> {
    live.turn = null;
    this.#turns.delete(key);
    try {
      await this.#endSession(live);
      ended.resolve(await this.#begin(ref, key, true));
    } catch (error) {
      ended.reject(error);
    }
  }

  /** The same of a turn that was adopted after its session was lost, which nobody has begun here. */
  async #goOnWithoutItsSession(turn: LiveTurn): Promise<void> {
    const { key, ended } = turn;
    const forget = (): void => void this.#starting.delete(key);
    this.#starting.set(key, { promise: ended.promise, cancelBy: null });
    ended.promise.then(forget, forget);
    try {
      await this.#sayThatItsSessionIsLost(turn);
    } catch (error) {
      ended.reject(error);
      return;
    }
    await this.#beginInNewSession(turn);
  }

  /** A shortcut for whoever adopts, who can also find the process by its pid file and its mark: no reason to fail a turn. */
  #saveState(turn: LiveTurn): void {
    const { session, fence, key } = turn;
    turn.stateSaved = true;
    try {
      session.session.spool.saveState({ epoch: fence.epoch, ownerPid: process.pid });
    } catch (error) {
      this.#log('warn', 'the state of a spool was not saved', {
        attempt: key,
        error: String(error),
      });
    }
  }

  /** Does not throw: without it the next process begins a new session, which is no reason to end this turn. */
  async #saveSessionId(turn: LiveTurn, sessionId: string | null): Promise<void> {
    try {
      const { conversationId } = turn.ref;
      const { sessionGeneration = 0 } = turn.session.session.spool.spec;
      await this.#patiently(turn, () =>
        this.#store.saveProviderSession(
          { ...turn.fence },
          conversationId,
          sessionId,
          sessionGeneration,
        ),
      );
      turn.session.unsavedSessionId = null;
    } catch (error) {
      turn.session.unsavedSessionId = sessionId;
      this.#log('error', 'the id of a provider session was not saved', {
        attempt: turn.key,
        error: String(error),
      });
    }
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
      breakOff(turn);
      throw error;
    }
    turn.spoolOffset = offset;
    turn.lastEvent = events.at(-1)?.type ?? turn.lastEvent;
    this.#steering.recorded(turn, events);
    if (end !== null) this.#finish(turn, end);
  }

  /** Ends the attempt by our own word: its process is gone, or nothing was ever sent to it. */
  async #endTurn(turn: LiveTurn, end: ForcedEnd): Promise<AttemptEnd> {
    const commit = () =>
      this.#commit(
        turn,
        forceEnd(turn.recording, foundBy(turn, end)),
        turn.session.session.fedOffset,
      );
    try {
      await commit();
    } catch (error) {
      if (isFenced(error) || this.#closed.signal.aborted) throw error;
      // It is broken now, and nobody else will write its end: once more, with the patience that an end is owed.
      await commit();
    }
    return turn.ended.promise;
  }

  #finish(turn: LiveTurn, end: AttemptEnd): void {
    const { session } = turn;
    session.starting = null;
    session.turn = null;
    session.idleSince = performance.now();
    this.#turns.delete(turn.key);
    turn.clock?.stop();
    this.#refusedForRoom.delete(turn.key);
    this.#steering.ended(turn.key);
    this.#events.onEnded?.(turn.ref);
    turn.ended.resolve(end);
    // Doomed: it may say that the turn has ended and still not end itself.
    const { warmSessions } = session.session.provider.capabilities;
    if (session.doomed || !warmSessions) void this.#endSession(session);
  }

  /** An attempt without a process here: ended from what the log shows as open. Without `end`: as cancelled. */
  async #endUnstarted(row: AttemptRow, end?: ForcedEnd): Promise<AttemptEnd> {
    const { turnId, attempt, requestId } = row;
    const key = attemptKey(turnId, attempt);
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
    const killed = this.#killLeftOver(row, row.place?.spool ?? key);
    await this.#store.append({
      stream: conversationStream(row.conversationId),
      fence: { turnId, attempt, epoch: claim.epoch },
      key: appendKey.end(turnId, attempt),
      events: [...killed, ...forceEnd(recording, end ?? { outcome: 'cancelled', by })],
    });
    this.#steering.ended(key);
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
    this.#shelf.add([live.session.spool]);
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
        turn.cpuMark = { usedMs: useUnder(mark).cpuMs, at: now() };
      },
      onQuiet: (silence) => {
        // A silence that is not recorded is no reason to end a turn.
        this.#sayQuiet(turn, silence).catch((error: unknown) =>
          this.#log('error', 'a silence was not recorded', {
            attempt: turn.key,
            error: String(error),
          }),
        );
        this.#events.onQuiet?.({ ...turn.ref, quiet: true });
      },
      onHeard: () => this.#events.onQuiet?.({ ...turn.ref, quiet: false }),
      onStalled: ({ phase, silentMs }) => {
        const seconds = Math.round(silentMs / 1_000);
        const message = `The provider said nothing for ${seconds} s (${phase}); it was stopped.`;
        this.#startLadder(turn, interrupted('stalled', message));
      },
    });
  }

  async #sayQuiet(turn: LiveTurn, { phase, silentMs }: Silence): Promise<void> {
    if (turn.recording.ended || turn.ladder !== null) return;
    const { session } = turn.session;
    const { mark } = session.spool.spec;
    const { processes, cpuMs } = useUnder(mark);
    const evidence = {
      lastEvent: turn.lastEvent,
      lastOutputAt: turn.lastOutputAt,
      processAlive: session.spool.isAlive(),
      pid: session.identity?.pid ?? null,
      cpuMsUsed: cpuMs - turn.cpuMark.usedMs,
      cpuMsUsedSince: turn.cpuMark.at,
      processes,
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

  #startLadder(turn: LiveTurn, end: ForcedEnd): void {
    if (turn.forced === null) this.#noteStop(turn, end);
    turn.forced ??= end;
    const failed = (error: unknown) => this.#failed(turn.session, error);
    const ladder = {
      turn,
      settings: this.#settings,
      log: this.#log,
      append: (events: NewEvent[]) => this.#append(turn, { events }),
      endSession: (live: LiveSession) => this.#endSession(live),
      failed,
    };
    turn.ladder ??= climbLadder(ladder, end).catch(failed);
  }

  /** For the next custody: why it is being stopped. That a person has cancelled it is in the log. */
  #noteStop({ session, key }: LiveTurn, end: ForcedEnd): void {
    if (end.outcome !== 'interrupted') return;
    const { cause, message } = end;
    try {
      session.session.note({ type: 'stop', attemptKey: key, cause, message: message ?? '' });
    } catch (error) {
      this.#log('warn', 'the reason of a stop was not noted', {
        attempt: key,
        error: String(error),
      });
    }
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
    const result = await write;
    if (!('lastSeq' in result)) return;
    // A busy turn is ahead of whoever tells it of the log: what came before this append may be told of no more.
    if (result.lastSeq - append.events.length > turn.ownSeq) this.#lookForCancel(turn);
    turn.ownSeq = Math.max(turn.ownSeq, result.lastSeq);
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
        if (isFenced(error)) {
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
    this.#steering.lost(turn.key, reason);
    turn.ended.reject(reason);
    const before = this.#superseded ?? Promise.resolve(false);
    // Before anything else may begin here: it could end what the other custody runs.
    this.#superseded = before.then(async (known) => known || this.#isSuperseded(turn));
    void this.#superseded.then((known) => {
      if (known) this.#events.onSuperseded?.();
    });
  }

  /** Whether a turn was lost to another process of this very host: then all of them are, and what Temporal has for the host. */
  async #isSuperseded({ ref, fence }: LiveTurn): Promise<boolean> {
    while (!this.#closed.signal.aborted) {
      try {
        const row = await this.#store.attempt(ref.turnId, ref.attempt);
        return row !== null && row.place?.host === this.host && row.epoch > fence.epoch;
      } catch (error) {
        this.#log('warn', 'who took the turn is not known yet', { error: String(error) });
        await pause(SUPERSEDED_LOOK_MS);
      }
    }
    return true;
  }

  #failed(live: LiveSession, error: unknown): void {
    if (this.#closed.signal.aborted) return;
    if (isFenced(error)) return;
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
          : interrupted('internal_error', 'Holdfast failed to record this turn; its log says why.'),
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

  /** P2: ends what an earlier start of this attempt has left; a row for each. */
  #killLeftOver({ turnId, attempt }: AttemptRow, mark: string): NewEvent[] {
    return killUnder(mark).map((pid) => strayKilled({ turnId, attempt, pid, mark }));
  }

  /** Ends the session that has been idle longest, when there are as many as may be. */
  #makeRoom(): void {
    if (this.#sessions.size < this.#settings.sessionLimit) return;
    const idle = [...this.#sessions.values()]
      .filter(isIdle)
      .toSorted((a, b) => a.idleSince - b.idleSince)[0];
    if (idle !== undefined) void this.#endSession(idle);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

function now(): string {
  return new Date().toISOString();
}

/** What would come now has a hole before it: of this turn only its end is recorded. The store closes what is open. */
function breakOff(turn: LiveTurn): void {
  if (turn.broken) return;
  const { turnId, attempt } = turn.ref;
  turn.broken = true;
  turn.recording = newRecording({ turnId, attempt, requestId: turn.requestId, now });
}
