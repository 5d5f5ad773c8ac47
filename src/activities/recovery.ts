/**
 * Tells the root of each team, once for each boot, what that boot has interrupted of it.
 *
 * Invariants (numbers of design.md section 12):
 *  M2 a root is told what it is owed when all ends of the boot are recorded, in one mail for each (root, boot): the store knows
 *     what is owed until that mail is there, and its key is made of the boot. Whoever starts next tells what was not told.
 *  A row of the root's mailbox that says how a child was ended is told in that mail, and nowhere else, when the same boot has
 *  ended the root's own turn.
 */
import { setTimeout } from 'node:timers/promises';

import { appendKey, conversationStream } from '../contracts/ids.ts';
import { endMailId } from '../domain/mail.ts';
import { recoveryText } from '../domain/recovery-text.ts';
import type { OwedRecovery, Store } from '../store/port.ts';
import type { CustodyLog } from './custody-settings.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

type Covered = { messageId: string; from: string };

export class Recovery {
  readonly #store: Pick<Store, 'append' | 'mailRow' | 'owedRecoveries' | 'team'>;
  readonly #host: string;
  readonly #template: string;
  readonly #look: (conversationId: string) => Promise<void>;
  readonly #log: CustodyLog;
  readonly #stopped = new AbortController();
  readonly #said = new Set<string>();

  /** `look`: tells a conversation that there is something in its mailbox; rejects when that is not durable. */
  constructor(parts: {
    store: Pick<Store, 'append' | 'mailRow' | 'owedRecoveries' | 'team'>;
    host: string;
    template: string;
    look: (conversationId: string) => Promise<void>;
    log: CustodyLog;
  }) {
    this.#store = parts.store;
    this.#host = parts.host;
    this.#template = parts.template;
    this.#look = parts.look;
    this.#log = parts.log;
  }

  /**
   * Resolves when every root has been told what it was owed, however long the disk is full, the store busy or Temporal away;
   * or when it is stopped. To be called when the ends of the boot are recorded.
   */
  async run(): Promise<void> {
    const toLook = new Set<string>();
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      // One that cannot be told now holds up no other.
      const owed = await this.#tried('what roots are owed could not be read', () =>
        this.#store.owedRecoveries(this.#host),
      );
      let isDone = owed !== null;
      for (const each of owed ?? []) {
        const what = `the recovery of ${each.rootId} could not be recorded`;
        if ((await this.#tried(what, () => this.#tell(each))) === null) isDone = false;
        else toLook.add(each.rootId);
      }
      for (const rootId of toLook) {
        const what = `${rootId} could not be told of its recovery`;
        if ((await this.#tried(what, () => this.#look(rootId))) === null) isDone = false;
        else toLook.delete(rootId);
      }
      if (isDone || this.#stopped.signal.aborted) return;
      await setTimeout(pauseMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    }
  }

  /** Nothing is begun any more; what was not told, the next start tells. */
  stop(): void {
    this.#stopped.abort();
  }

  /** Null: it failed, which is said once. */
  async #tried<T>(what: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!this.#said.has(what) && !this.#stopped.signal.aborted)
        this.#log('warn', `${what}; trying again`, { error: String(error) });
      this.#said.add(what);
      return null;
    }
  }

  async #tell({ rootId, interrupted }: OwedRecovery): Promise<void> {
    const newest = interrupted.at(-1);
    const team = await this.#store.team(rootId);
    if (newest === undefined || team === null) return;
    const { boot, at: when } = newest;
    const { agents } = team;
    const covers = await this.#covered(rootId, interrupted);
    const facts = { when, rootId, interrupted, agents, covered: covers.length };
    const messageId = `recovery-${boot}`;
    await this.#store.append({
      stream: conversationStream(rootId),
      key: appendKey.mail(null, messageId),
      events: [
        {
          type: 'mail.accepted',
          payload: {
            messageId,
            from: null,
            kind: 'recovery',
            content: recoveryText({ template: this.#template, facts }),
            boot,
            ...(covers.length === 0 ? {} : { covers }),
          },
        },
      ],
    });
  }

  /** Rows of the root's mailbox for ends of its children, of boots that have ended the root's own turn too. */
  async #covered(rootId: string, interrupted: OwedRecovery['interrupted']): Promise<Covered[]> {
    const own = interrupted.filter(({ conversationId }) => conversationId === rootId);
    const boots = new Set(own.map(({ boot }) => boot));
    const covers: Covered[] = [];
    for (const end of interrupted) {
      if (!boots.has(end.boot)) continue;
      const row = { from: end.conversationId, messageId: endMailId(end) };
      // Only the end of a child's task has a row here.
      const found = await this.#store.mailRow({ conversationId: rootId, ...row });
      if (found?.state === 'accepted') covers.push(row);
    }
    return covers;
  }
}
