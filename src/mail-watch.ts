/**
 * Sees to it that no mail waits for a word that was never said: whoever has written a row tells its receiver to look, and may
 * die before. A receiver that cannot take it (its queue is full) is asked less and less often.
 */
import type { WorkflowSignals } from './activities/tables.ts';
import { MAIL_UNTAKEN_MS } from './contracts/limits.ts';
import { SIGNAL } from './contracts/names.ts';
import { Rounds } from './rounds.ts';
import type { Store } from './store/port.ts';

/** Between two looks: one indexed read. */
const EVERY_MS = 2_000;
const PAGE = 200;
/** Longest time between two words to one receiver. */
const ASKED_AGAIN_LIMIT_MS = 30_000;

type Asked = { atMs: number; waitMs: number };

export class MailWatch {
  readonly #store: Pick<Store, 'withUntakenMail'>;
  readonly #signals: Pick<WorkflowSignals, 'signalConversation'>;
  readonly #log: (text: string) => void;
  readonly #clock: () => number;
  /** Receivers that were told to look, and have not taken all. */
  #asked = new Map<string, Asked>();
  readonly #rounds = new Rounds({
    round: async () => {
      await this.look();
      return EVERY_MS;
    },
    onFailure: (error) => {
      this.#log(`mail was not looked for: ${String(error)}`);
      return EVERY_MS;
    },
  });

  constructor(parts: {
    store: Pick<Store, 'withUntakenMail'>;
    signals: Pick<WorkflowSignals, 'signalConversation'>;
    log: (text: string) => void;
    /** Milliseconds since 1970. */
    clock?: () => number;
  }) {
    this.#store = parts.store;
    this.#signals = parts.signals;
    this.#log = parts.log;
    this.#clock = parts.clock ?? Date.now;
  }

  /** Looks now, and then again and again. */
  start(): void {
    this.#rounds.start();
  }

  stop(): void {
    this.#rounds.stop();
  }

  /** One look; the conversations that were told. */
  async look(): Promise<string[]> {
    const nowMs = this.#clock();
    const acceptedBefore = new Date(nowMs - MAIL_UNTAKEN_MS).toISOString();
    const told: string[] = [];
    const asked = new Map<string, Asked>();
    for (let after = ''; ;) {
      const page = await this.#store.withUntakenMail({ acceptedBefore, after, limit: PAGE });
      for (const conversationId of page) {
        if (this.#rounds.isStopped) return told;
        const last = this.#asked.get(conversationId);
        if (last !== undefined) asked.set(conversationId, last);
        // A clock that was set back must not silence it.
        if (last !== undefined && Math.abs(nowMs - last.atMs) < last.waitMs) continue;
        try {
          await this.#signals.signalConversation(conversationId, SIGNAL.mail);
        } catch (error) {
          this.#log(`conversation ${conversationId} was not told of its mail: ${String(error)}`);
          continue;
        }
        const waitMs = Math.min(2 * (last?.waitMs ?? EVERY_MS), ASKED_AGAIN_LIMIT_MS);
        asked.set(conversationId, { atMs: nowMs, waitMs });
        told.push(conversationId);
      }
      if (page.length < PAGE) break;
      after = page.at(-1) ?? '';
    }
    this.#asked = asked;
    return told;
  }
}
