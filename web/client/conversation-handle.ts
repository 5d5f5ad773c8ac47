/** What a component does with one conversation. */
import type { ConversationHandle, Outcome, WhyValue } from './contract.ts';
import type { ConversationStore } from './conversation-store.ts';
import type { Engine } from './engine.ts';
import { path, type Request } from './http.ts';
import { openedOf } from './opened.ts';

/** Of commands that are done once however often they are asked. */
const REPEATS = 2;

export function conversationHandle(
  engine: Engine,
  store: ConversationStore,
  release: () => void,
): ConversationHandle {
  const { conversationId } = store;
  const { http, outbox, creations, drafts, edits, retries, parts } = engine;
  const at = (...rest: string[]): string => path('conversations', conversationId, ...rest);
  const command = (
    method: Request['method'],
    where: string,
    body?: unknown,
    repeats = 0,
  ): Promise<Outcome<object>> =>
    http.get<object>({ method, path: where, ...(body === undefined ? {} : { body }), repeats });
  const retry = (turnId: string): Promise<Outcome<unknown>> =>
    command('POST', at('turns', turnId, 'retry'), { requestId: parts.freshId() }, REPEATS);
  return {
    ...openedOf(store.state, release),
    conversationId,
    draft: drafts.of(conversationId),
    setDraft: (text) => drafts.set(conversationId, text),
    edits: edits.of(conversationId),
    setEdit: (edit) => edits.set(conversationId, edit),
    endEdit: (edit) => {
      // It may be there that its text goes.
      drafts.texts.keep();
      edits.end(conversationId, edit);
    },
    send: (message) => outbox.send(conversationId, message),
    sendAgain: (requestId) => outbox.sendAgain(requestId),
    takeBack: (requestId) => outbox.takeBack(requestId),
    cancel: async (request = {}) => {
      const turnId = store.view.activeTurn?.turnId;
      // Named, so that it is this turn and no later one; with what is below it nothing needs to run here.
      const named = turnId === undefined || request.cascade === true ? {} : { turnId };
      const outcome = await command('POST', at('cancel'), { ...request, ...named }, REPEATS);
      // It has ended by itself.
      return !outcome.ok && outcome.problem.code === 'turn_mismatch'
        ? { ok: true, value: { turnId: null } }
        : outcome;
    },
    retry,
    retryAfterEnd: (turnId) => {
      const { activeTurn } = store.view;
      if (activeTurn?.turnId !== turnId) return retry(turnId);
      return retries.want({ conversationId, turnId, attempt: activeTurn.attempt });
    },
    answer: ({ approvalId, ...body }) =>
      command('POST', at('approvals', approvalId), body, REPEATS),
    updateQueued: (requestId, change) => command('PATCH', at('queue', requestId), change),
    removeQueued: (requestId) => command('DELETE', at('queue', requestId)),
    holdQueue: (held) => command('PATCH', at('queue'), { held }, REPEATS),
    fork: (request) => creations.make(http, { path: at('fork'), asked: request, repeats: REPEATS }),
    rollback: (messageId) => command('POST', at('rollback'), { messageId }, REPEATS),
    patch: (change) => command('PATCH', at(), change, REPEATS),
    loadOlder: () => store.loadOlder(),
    showAttempt: (turnId, attempt) => store.changeRows((fold) => fold.showAttempt(turnId, attempt)),
    rowsOfAttempt: (turnId, attempt) => store.rowsOfAttempt(turnId, attempt),
    showCut: (key, isOpen) => store.changeRows((fold) => fold.showCut(key, isOpen)),
    why: () => http.get<WhyValue>({ method: 'GET', path: at('why'), repeats: 1 }),
  };
}
