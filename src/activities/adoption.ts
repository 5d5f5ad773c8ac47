/**
 * Adoption: at boot, what an earlier process of this host left goes on in this one, before Temporal has said anything.
 *
 * Invariants (numbers of design.md section 12):
 *  F2 a driver is rebuilt from byte 0 of its spool; what lies before the stored offset is not recorded again.
 *  P2 what carries a mark of this host and belongs to nothing is killed, with a row for it; never a stranger.
 *  P3 an attempt without a process ends only after everything that its spool holds is in the log.
 *  M2 what is found dead ends with the name of this boot; what dies while this process has it does not.
 *  The prompt is never sent again.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import type { NewEvent } from '../contracts/events.ts';
import { attemptKey, parseAttemptKey } from '../contracts/ids.ts';
import type { Provider } from '../contracts/provider-events.ts';
import { type ForcedEnd, requestCancel, resolveApproval } from '../domain/segments.ts';
import { bootId } from '../providers/process/process-table.ts';
import { type RecordedCall, Spool } from '../providers/process/spool.ts';
import type { AttemptRow, Store } from '../store/port.ts';
import { isFenced, isPassing, isStorageFull, whenThereIsRoom } from '../store/write-failures.ts';
import { foundBy, hasLostItsSession, interrupted, recordOrForce } from './attempt-ends.ts';
import type { CustodyLog, CustodySettings } from './custody-settings.ts';
import type { AttemptEnd, LiveSession, LiveTurn } from './live-turn.ts';
import { killUnder, sweepStrays } from './marks.ts';
import { RECOVERY_LIMIT, sinceItsLastSign } from './recovery-budget.ts';
import type { Session } from './session.ts';
import type { SilenceClock } from './silence.ts';
import type { Steering } from './steering.ts';

/** A warm session without a turn is taken over only when its driver is rebuilt in a blink. */
const IDLE_ADOPT_LIMIT_BYTES = 4 * 1024 * 1024;
/** Tries to take over one spool while the store is busy. */
const ADOPTION_TRIES = 5;

/** What adoption needs of the custody it adopts for. */
export type AdoptingCustody = {
  newSession(parts: { spool: Spool; provider: Provider; adopted: boolean }): LiveSession;
  newTurn(parts: { row: AttemptRow; key: string; live: LiveSession }): LiveTurn;
  newClock(turn: LiveTurn): SilenceClock;
  /** What was told of its silence holds no longer: a new clock has begun. */
  noLongerQuiet(turn: LiveTurn): void;
  sessionOf(conversationId: string): LiveSession | undefined;
  /** It is its conversation's session from now on. */
  hold(live: LiveSession): void;
  /** What the session's provider says is this turn's from now on. */
  give(live: LiveSession, turn: LiveTurn): void;
  saveState(turn: LiveTurn): void;
  steering: Steering;
  commit(turn: LiveTurn, events: NewEvent[], offset: number): Promise<void>;
  /** Ends an attempt that has no process here, from what the log shows as open. */
  endUnstarted(row: AttemptRow, end: ForcedEnd): Promise<AttemptEnd>;
  endSession(live: LiveSession): Promise<void>;
  startLadder(turn: LiveTurn, end: ForcedEnd): void;
  failed(live: LiveSession, error: unknown): void;
  /** Lets go of what was taken of this spool; its turn, which is still to be ended. */
  drop(spool: Spool): LiveTurn | null;
  /** Spools of which nothing goes on. */
  shelve(ended: readonly Spool[]): void;
  /** Marks of the sessions that are held. */
  marks(): Set<string>;
};

export class Adoption {
  readonly #store: Store;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #settings: CustodySettings;
  readonly #log: CustodyLog;
  readonly #custody: AdoptingCustody;
  /** Ends, still to be recorded, of turns that were taken over without a process. */
  readonly #dead: Promise<unknown>[] = [];
  /** Turns whose provider had only to say that its session is gone. */
  readonly #lost: LiveTurn[] = [];

  constructor(parts: {
    store: Store;
    providers: ReadonlyMap<string, Provider>;
    settings: CustodySettings;
    log: CustodyLog;
    custody: AdoptingCustody;
  }) {
    this.#store = parts.store;
    this.#providers = parts.providers;
    this.#settings = parts.settings;
    this.#log = parts.log;
    this.#custody = parts.custody;
  }

  /**
   * Every spool with a process, every attempt of this host without an end. Once, before anything is run. `dead`: when the
   * ends are recorded of what was found dead and is not ended yet. `lost`: turns that are to begin again in a new session.
   */
  async run(): Promise<{ dead: readonly Promise<unknown>[]; lost: readonly LiveTurn[] }> {
    const running = new Map<string, AttemptRow[]>();
    // One that was never claimed has nothing here: it begins when Temporal asks.
    for (const row of await this.#store.runningAttempts(this.#settings.host))
      if (row.place !== null)
        running.set(row.place.spool, [...(running.get(row.place.spool) ?? []), row]);
    const ended: Spool[] = [];
    await Promise.all(
      spoolNames(this.#settings.spoolRoot).map(async (name) => {
        const spool = Spool.open({ root: this.#settings.spoolRoot, name });
        const rows = running.get(name) ?? [];
        running.delete(name);
        if (spool === null) this.#discardFolder(name);
        else if (!(await this.#adoptOrEnd(spool, rows[0] ?? null))) ended.push(spool);
      }),
    );
    for (const rows of running.values())
      for (const row of rows)
        await whenThereIsRoom(() =>
          this.#endDead(row, interrupted('spool_lost', 'Its spool is gone.')),
        );
    this.#custody.shelve(ended);
    await sweepStrays({
      store: this.#store,
      host: this.#settings.host,
      owned: this.#custody.marks(),
    });
    return { dead: this.#dead, lost: this.#lost };
  }

  /** Ends an attempt of which nothing goes on here. */
  #endDead(row: AttemptRow, end: ForcedEnd): Promise<AttemptEnd> {
    return this.#custody.endUnstarted(row, foundBy(this.#settings, end));
  }

  /** As {@link #adoptSpool}; a spool that cannot be adopted ends alone, and does not take this host's other turns with it. */
  async #adoptOrEnd(spool: Spool, row: AttemptRow | null): Promise<boolean> {
    let dropped: LiveTurn | null = null;
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#adoptSpool(spool, row);
      } catch (error) {
        dropped = this.#custody.drop(spool) ?? dropped;
        this.#log('error', 'a spool could not be adopted', {
          spool: spool.name,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
        if (isFenced(error)) return false;
        // Nothing can run before there is room, and what the spool holds is not given up for that.
        if (isStorageFull(error) || (isPassing(error) && tries < ADOPTION_TRIES)) {
          await new Promise((resolve) => setTimeout(resolve, Math.min(200 * 2 ** tries, 2_000)));
          continue;
        }
      }
      break;
    }
    if (row === null) {
      killUnder(spool.spec.mark);
      return false;
    }
    try {
      const message = 'It could not be taken over; the log says why.';
      const end = await this.#endDead(row, interrupted('internal_error', message));
      dropped?.ended.resolve(end);
    } catch (error) {
      this.#log('error', 'its end could not be recorded', { error: String(error) });
      dropped?.ended.reject(error);
    }
    return false;
  }

  /** Adopts one spool; false when nothing of it goes on (it may be removed some day). */
  async #adoptSpool(spool: Spool, row: AttemptRow | null): Promise<boolean> {
    const provider = this.#providers.get(spool.spec.providerId);
    const calls = spool.calls();
    const key = row === null ? null : attemptKey(row.turnId, row.attempt);
    const begun = calls.find(({ call }) => call.type === 'begin' && call.attemptKey === key);
    const alive = spool.isAlive();
    if (provider === undefined || (begun === undefined && !alive)) {
      // One that was claimed but never begun starts again when Temporal asks: nothing was sent. After a reboot nothing proves that.
      const mayBegin = begun === undefined && spool.spec.bootId === bootId();
      if (row !== null && !mayBegin)
        await this.#endDead(
          row,
          interrupted('process_lost', 'Its process is gone and left no end.'),
        );
      return false;
    }
    if (row === null && spool.outSize() > IDLE_ADOPT_LIMIT_BYTES) {
      // Reading all of it would hold up the turns; the next turn resumes the provider's session in a new process.
      const live = this.#custody.newSession({ spool, provider, adopted: true });
      live.session.detach();
      live.gone.resolve();
      // Awaited: a turn that comes now must not find two processes of one provider session.
      await this.#custody.endSession(live);
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
    const live = this.#custody.newSession({ spool, provider, adopted: true });
    await this.#replay(live, calls, () => undefined);
    live.session.resume();
    // Two live spools of one conversation: only the newest is its session.
    if (this.#custody.sessionOf(spool.spec.conversationId) !== undefined)
      void this.#custody.endSession(live);
    else this.#custody.hold(live);
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
    const lately = await sinceItsLastSign({ store: this.#store, row });
    if (lately.attaches >= RECOVERY_LIMIT) {
      const message = `It was taken over ${RECOVERY_LIMIT} times without a sign of the provider; it was stopped.`;
      await this.#endDead(row, interrupted('recovery_budget', message));
      return;
    }
    // One that has left an exit code says so before it is gone.
    const isDead = !spool.isAlive() || spool.exitCode() !== null;
    const scope = { turnId, attempt, ...(requestId === null ? {} : { requestId }) };
    const claim = await this.#store.claim({
      conversationId,
      turnId,
      attempt,
      host: this.#settings.host,
      place: null,
      events: (epoch) => [
        {
          type: 'chat.attached',
          ...scope,
          payload: { epoch, host: this.#settings.host, cause: 'turn_host_restarted' },
        },
      ],
    });
    const live = this.#custody.newSession({ spool, provider: found.provider, adopted: true });
    const turn = this.#custody.newTurn({ row, key, live });
    turn.fence.epoch = claim.epoch;
    turn.spoolOffset = claim.spoolOffset;
    if (isDead) turn.boot = this.#settings.boot;
    if (upSeconds !== undefined && spool.spec.bootId === bootId())
      turn.overAtSeconds = upSeconds + this.#settings.turnLimitMs / 1_000;
    const pending: NewEvent[] = [];
    const answered = new Set<string>();
    let active = false;
    let heard = false;
    let isLost = false;
    await this.#replay(live, found.calls, (step) => {
      if (step.type === 'call') {
        active = step.call.attemptKey === key;
        if (!active) return;
        if (step.call.type === 'stop') {
          const { cause, message } = step.call;
          turn.forced = interrupted(cause, message);
        }
        if (step.call.type === 'steer') this.#custody.steering.rebuilt(turn, step.call);
        if (step.call.type === 'cancel')
          requestCancel(
            turn.recording,
            row.cancelBy ?? (turn.forced === null ? 'user' : 'holdfast'),
          );
        if (step.call.type === 'answer') {
          const { approvalId, decision } = step.call;
          resolveApproval(turn.recording, { approvalId, decision, by: 'user' });
          answered.add(approvalId);
        }
        return;
      }
      if (!active || isLost) return;
      isLost =
        pending.length === 0 && row.cancelBy === null && hasLostItsSession(turn, step.reports);
      if (isLost) return;
      heard ||= step.reports.some(({ type }) => type !== 'session');
      const events = step.reports.flatMap((report) => recordOrForce(turn, report));
      // What lies before the stored offset is in the log already (F2).
      if (step.offset > claim.spoolOffset) pending.push(...events);
    });
    const other = this.#custody.sessionOf(conversationId);
    if (other !== undefined) void this.#custody.endSession(other);
    this.#custody.hold(live);
    if (isLost && turn.forced === null) {
      // Not given to it: the end of that process is not the turn's.
      live.starting = null;
      this.#lost.push(turn);
      live.session.resume();
      return;
    }
    this.#custody.give(live, turn);
    this.#custody.saveState(turn);
    await this.#custody.commit(turn, pending, live.session.fedOffset);
    if (turn.recording.ended) {
      live.session.resume();
      return;
    }
    turn.clock = this.#custody.newClock(turn);
    if (lately.wasQuiet) this.#custody.noLongerQuiet(turn);
    // A word about itself (its session id) shows that the provider runs, not that it has its prompt.
    if (!begun.sent && !heard) {
      turn.boot = this.#settings.boot;
      turn.forced ??= interrupted(
        'prompt_unconfirmed',
        'The turn host died while it handed over the prompt; it is not sent twice.',
      );
      void this.#custody.endSession(live);
    }
    const cancelled =
      row.cancelBy === null ? null : { outcome: 'cancelled' as const, by: row.cancelBy };
    // Before a cancel: one that comes after it would be begun all the same.
    this.#custody.steering.repeat(turn, found.calls);
    const stop = turn.forced ?? cancelled;
    if (stop !== null) this.#custody.startLadder(turn, stop);
    if (turn.boot !== null) this.#dead.push(turn.ended.promise);
    live.session.resume();
    // Not awaited: a process that reads nothing, or is gone, must not hold up the others.
    this.#repeatAnswers(turn, answered).catch((error: unknown) =>
      this.#custody.failed(live, error),
    );
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

  /** A folder without a readable spec: it was being made when its maker died; nothing was started in it. */
  #discardFolder(name: string): void {
    killUnder(name);
    rmSync(join(this.#settings.spoolRoot, name), { recursive: true, force: true });
  }
}

export function spoolNames(root: string): string[] {
  return readdirSync(root).filter((name) => parseAttemptKey(name) !== null);
}
