/**
 * Local activities of a conversation's Workflow about its mailbox, and what it tells its parent and its children.
 *
 * Each may run twice. A row has its key (M1); what is taken is a send, whose requestId follows from the row (A2); what is said
 * to other Workflows says "look", or asks for a cancel of what runs.
 */
import { log } from '@temporalio/activity';

import type { MailMessageValue, MailSignalValue } from '../contracts/agents.ts';
import type { QueueItemValue } from '../contracts/events.ts';
import { appendKey, conversationStream } from '../contracts/ids.ts';
import { MAIL_EXPIRY_MS } from '../contracts/limits.ts';
import { SIGNAL } from '../contracts/names.ts';
import { beginningOf, utf8Bytes } from '../domain/conversation.ts';
import { promptOfMail } from '../domain/mail.ts';
import type { Store, TakeableMail } from '../store/port.ts';
import { type DecisionBasis, hasMail, isBehind } from './records.ts';
import type { WorkflowSignals } from './tables.ts';

/** A row as the Workflow takes it: a send. */
export type MailItem = {
  requestId: string;
  /** The beginning of its prompt; of one that is to steer, all of it, unless it is long. */
  content: string;
  whenBusy: 'queue' | 'steer';
  mail: NonNullable<QueueItemValue['mail']>;
};

export type MailLook = {
  /** What runs or waits is not what the Workflow believes: nothing was taken, and it is to read the store first. */
  behind?: true;
  items: MailItem[];
  /** There is more than the queue has room for. */
  more: boolean;
  /** There are rows that start nothing by themselves. */
  waits: boolean;
};

export type MailActivities = ReturnType<typeof createMailActivities>;

/** A longer one, as JSON, is not offered to a running turn: an activity answers at most 2 MiB, of so many rows. */
const STEER_BYTES = 16 * 1024;

export function createMailActivities(parts: {
  store: Store;
  signals: Pick<WorkflowSignals, 'signalConversation'>;
  /** Milliseconds since 1970. */
  clock?: () => number;
}) {
  const { store, signals, clock = Date.now } = parts;

  async function rootOf(conversationId: string): Promise<string> {
    return (await store.agent(conversationId))?.rootId ?? conversationId;
  }

  /** Records a message. One from outside of the team is ignored: the gateway refuses it, and an operator may type anything. */
  async function accept(conversationId: string, message: MailMessageValue): Promise<void> {
    const { from, messageId, content, whenBusy, expiresAt } = message;
    const isKnown = from !== conversationId && (await store.conversation(from)) !== null;
    if (!isKnown || (await rootOf(from)) !== (await rootOf(conversationId))) {
      log.warn('mail from outside of the team was ignored', { conversationId, from, messageId });
      return;
    }
    await store.append({
      stream: conversationStream(conversationId),
      key: appendKey.mail(from, messageId),
      events: [
        {
          type: 'mail.accepted',
          payload: {
            messageId,
            from,
            kind: 'message',
            content,
            ...(whenBusy === undefined ? {} : { whenBusy }),
            expiresAt: expiresAt ?? new Date(clock() + MAIL_EXPIRY_MS).toISOString(),
          },
        },
      ],
    });
  }

  /** Has a row sent again that was not applied. */
  async function again(
    conversationId: string,
    { messageId, from }: NonNullable<MailSignalValue['again']>,
  ): Promise<void> {
    const row = await store.mailRow({ conversationId, from, messageId });
    if (row?.state !== 'failed' && row?.state !== 'expired') return;
    for (let sending = 2; ; sending += 1) {
      const { status } = await store.append({
        stream: conversationStream(conversationId),
        key: appendKey.mailAgain(from, messageId, sending),
        events: [{ type: 'mail.again', payload: { messageId, from, sending } }],
      });
      if (status === 'appended') return;
    }
  }

  /** Of these rows, those that are still to be taken; the others are recorded as expired. */
  async function inTime(conversationId: string, rows: TakeableMail[]): Promise<TakeableMail[]> {
    const now = new Date(clock()).toISOString();
    const expired = rows.filter(({ expiresAt }) => expiresAt !== null && expiresAt < now);
    for (const { messageId, from, requestId } of expired)
      await store.append({
        stream: conversationStream(conversationId),
        key: appendKey.mailExpired(requestId),
        events: [{ type: 'mail.expired', payload: { messageId, from } }],
      });
    return rows.filter((row) => !expired.includes(row));
  }

  return {
    /**
     * Records the message, if one came, and looks: what is to be sent now, in order. Rows that wait are taken along with
     * others, or when `waiting`.
     */
    async takeMail(request: {
      conversationId: string;
      message?: MailMessageValue;
      again?: NonNullable<MailSignalValue['again']>;
      limit: number;
      limitBytes: number;
      waiting: boolean;
      /** What the Workflow takes to be running and waiting. */
      basis: DecisionBasis;
    }): Promise<MailLook> {
      const { conversationId, limit, limitBytes } = request;
      // An earlier run of this very task may have taken rows, and died before it was told: they are in the queue, or running.
      if (isBehind(request.basis, await store.workflowState(conversationId)))
        return { behind: true, items: [], more: true, waits: true };
      if (request.message !== undefined) await accept(conversationId, request.message);
      if (request.again !== undefined) await again(conversationId, request.again);
      const look = (waiting: boolean) =>
        store.takeableMail({ conversationId, limit, limitBytes, waiting });
      let { items, more } = await look(request.waiting);
      if (items.length > 0 && !request.waiting) ({ items, more } = await look(true));
      const rows = await inTime(conversationId, items);
      const sawAll = request.waiting || items.length > 0;
      const waits = sawAll ? more : await hasMail(store, conversationId);
      return { items: rows.map(itemOf), more, waits };
    },

    /** Tells a conversation to look, if there is something in its mailbox. */
    async tellMailbox({ conversationId }: { conversationId: string }): Promise<void> {
      if (await hasMail(store, conversationId))
        await signals.signalConversation(conversationId, SIGNAL.mail);
    },

    /** Tells its children, but those, to cancel what runs in them and below them, and to hold what waits; all that it has. */
    async tellChildren({
      conversationId,
      but,
    }: {
      conversationId: string;
      but: readonly string[];
    }): Promise<string[]> {
      const children = await store.children(conversationId);
      for (const child of children)
        if (!but.includes(child))
          await signals.signalConversation(child, SIGNAL.cancel, {
            by: 'cascade',
            holdQueue: true,
            cascade: true,
          });
      return children;
    },
  };
}

function itemOf(row: TakeableMail): MailItem {
  const { messageId, from, kind, requestId } = row;
  const prompt = promptOfMail(row);
  const bytes = utf8Bytes(prompt);
  const steers = row.whenBusy === 'steer' && utf8Bytes(JSON.stringify(prompt)) <= STEER_BYTES;
  return {
    requestId,
    content: steers ? prompt : beginningOf(prompt),
    whenBusy: steers ? 'steer' : 'queue',
    mail: { messageId, from, kind, bytes },
  };
}
