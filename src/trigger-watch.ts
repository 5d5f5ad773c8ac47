/**
 * Sees to it that no due time waits for a clock that has stopped: asks for a look at what is overdue, and keeps Temporal's
 * Schedules what the triggers say. Both are the safety net; the clock is the Schedule.
 *
 * Decides nothing: a look is made by the trigger's Workflow, hence only while Temporal answers.
 */
import type { Presence } from './activities/presence.ts';
import type { TriggerSchedules } from './activities/triggers.ts';
import { jitterOf } from './domain/due-times.ts';
import { Rounds } from './rounds.ts';
import type { Store } from './store/port.ts';

/** Between two looks; less where the grace is short. One indexed read, and one call to Temporal. */
const EVERY_MS = 5_000;
/** Overdue by less, its own fire is on its way. */
const OVERDUE_MS = 2_000;
/** Decided and not sent for so long: whoever was to send it has died. */
const UNSENT_MS = 5_000;
/** Between two comparisons of all Schedules with all triggers. */
const COMPARE_EVERY_MS = 300_000;
const PAGE = 200;
/** Each may have half a megabyte of prompt. */
const COMPARE_PAGE = 20;
/** Asked for a look, a trigger has so much time for it. */
const ASKED_AGAIN_MS = 8_000;

export interface TriggerSignals {
  /** Asks for a look. Resolves when that is durable. */
  lookAtTrigger(triggerId: string): Promise<void>;
}

export class TriggerWatch {
  readonly #store: Pick<
    Store,
    'overdueTriggers' | 'triggers' | 'trigger' | 'forgetDelivery' | 'undelivered'
  >;
  readonly #signals: TriggerSignals;
  readonly #schedules: TriggerSchedules;
  readonly #presence: Presence;
  readonly #ping: () => Promise<unknown>;
  readonly #log: (text: string) => void;
  readonly #clock: () => number;
  readonly #everyMs: number;
  /** Since when the engine was there at the last comparison. */
  #comparedFor: number | null = null;
  #comparedAtMs = -Infinity;
  #comparing: Promise<void> | null = null;
  /** When a look was asked for last, by trigger. */
  readonly #askedMs = new Map<string, number>();
  readonly #rounds = new Rounds({
    round: async () => {
      await this.look();
      return this.#everyMs;
    },
    onFailure: (error) => {
      this.#log(`triggers were not looked at: ${String(error)}`);
      return this.#everyMs;
    },
  });

  constructor(parts: {
    store: Pick<
      Store,
      'overdueTriggers' | 'triggers' | 'trigger' | 'forgetDelivery' | 'undelivered'
    >;
    signals: TriggerSignals;
    schedules: TriggerSchedules;
    presence: Presence;
    graceMs: number;
    /** Rejects soon when Temporal does not answer. */
    ping: () => Promise<unknown>;
    log: (text: string) => void;
    clock?: () => number;
  }) {
    this.#store = parts.store;
    this.#signals = parts.signals;
    this.#schedules = parts.schedules;
    this.#presence = parts.presence;
    this.#ping = parts.ping;
    this.#log = parts.log;
    this.#clock = parts.clock ?? Date.now;
    this.#everyMs = Math.max(100, Math.min(EVERY_MS, parts.graceMs / 4));
  }

  /** Looks now, and then again and again. */
  start(): void {
    this.#rounds.start();
  }

  stop(): void {
    this.#rounds.stop();
  }

  /** Resolves when no comparison is under way. */
  async idle(): Promise<void> {
    await this.#comparing;
  }

  /** One look; the ids of the triggers that a look was asked for. */
  async look(): Promise<string[]> {
    await this.#ping();
    const presentSinceMs = this.#presence.seen();
    const asked = await this.#askForOverdue();
    const nowMs = this.#clock();
    // Temporal may have come back without its database.
    const isBack = this.#comparedFor !== presentSinceMs;
    const isTime = Math.abs(nowMs - this.#comparedAtMs) > COMPARE_EVERY_MS;
    if (this.#comparing === null && (isBack || isTime)) {
      this.#comparedFor = presentSinceMs;
      this.#comparedAtMs = nowMs;
      // Not waited for: with many triggers it takes minutes, and something is due meanwhile.
      this.#comparing = this.compare()
        .catch((error: unknown) => {
          this.#comparedFor = null;
          this.#log(`Schedules were not compared with their triggers: ${String(error)}`);
        })
        .finally(() => {
          this.#comparing = null;
        });
    }
    return asked;
  }

  async #askForOverdue(): Promise<string[]> {
    const nowMs = this.#clock();
    const dueBefore = new Date(nowMs - OVERDUE_MS).toISOString();
    const decidedBefore = new Date(nowMs - UNSENT_MS).toISOString();
    const asked: string[] = [];
    for (let after = ''; ;) {
      const page = await this.#store.overdueTriggers({
        dueBefore,
        decidedBefore,
        after,
        limit: PAGE,
      });
      for (const triggerId of page) {
        if (this.#rounds.isStopped) return asked;
        // Many are due at once: a second word for each would only make it slower.
        if (nowMs - (this.#askedMs.get(triggerId) ?? -Infinity) < ASKED_AGAIN_MS) continue;
        try {
          if (await this.#waitsForItsJitter(triggerId, { dueBefore, decidedBefore })) continue;
          await this.#signals.lookAtTrigger(triggerId);
        } catch (error) {
          // Those behind it are not to wait for what is the matter with one.
          this.#log(`trigger ${triggerId} was not looked at: ${String(error)}`);
          continue;
        }
        this.#askedMs.set(triggerId, nowMs);
        asked.push(triggerId);
      }
      if (page.length < PAGE) {
        for (const [id, atMs] of this.#askedMs)
          if (Math.abs(nowMs - atMs) >= ASKED_AGAIN_MS) this.#askedMs.delete(id);
        return asked;
      }
      after = page.at(-1) ?? '';
    }
  }

  /** Then a thousand triggers of nine o'clock would be asked for every few seconds of the hour over which they are spread. */
  async #waitsForItsJitter(
    triggerId: string,
    { dueBefore, decidedBefore }: { dueBefore: string; decidedBefore: string },
  ): Promise<boolean> {
    const trigger = await this.#store.trigger(triggerId);
    if (trigger === null || trigger.nextDueAt === null) return false;
    const { jitterMs } = trigger.definition;
    const dueMs = Date.parse(trigger.nextDueAt);
    if (dueMs + jitterOf(triggerId, dueMs, jitterMs) < Date.parse(dueBefore)) return false;
    const [unsent] = await this.#store.undelivered(triggerId, 1);
    return unsent === undefined || unsent.decidedAt >= decidedBefore;
  }

  /**
   * Makes what is missing among the Schedules, changes what is of another rule, removes what no trigger stands behind. Where one is
   * missing, what its trigger has sent without a receipt is to be sent again.
   */
  async compare(): Promise<void> {
    const rules = await this.#schedules.rules();
    for (let cursor: string | null = null; ;) {
      const page = await this.#store.triggers({
        tableId: null,
        conversationId: null,
        cursor,
        limit: COMPARE_PAGE,
      });
      for (const trigger of page.items) {
        if (this.#rounds.isStopped) return;
        const { triggerId, rule, nextDueAt } = trigger;
        const has = rules.get(triggerId);
        rules.delete(triggerId);
        if (has === (nextDueAt === null ? undefined : rule)) continue;
        // A Temporal that has lost the Schedule has lost what it was sent, too. Only then: what is sent again has to be looked
        // up by its conversation, which may have been slow for that very reason.
        if (has === undefined && nextDueAt !== null)
          await this.#store.forgetDelivery(triggerId, new Date(this.#clock()).toISOString());
        await this.#schedules.sync(trigger);
        this.#log(`the Schedule of trigger ${triggerId} was set to its rule ${rule}`);
      }
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    for (const triggerId of rules.keys()) {
      if (this.#rounds.isStopped) return;
      // Made while the list was read, it is there by now.
      const trigger = await this.#store.trigger(triggerId);
      if (trigger === null) await this.#schedules.remove(triggerId);
      else await this.#schedules.sync(trigger);
      this.#log(`the Schedule of trigger ${triggerId} was compared with what the store says of it`);
    }
  }
}
