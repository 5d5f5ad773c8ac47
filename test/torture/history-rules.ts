/**
 * History: what is cut stays readable (L5), a fork has what its origin had (L5), a title is made once (T1), what was answered
 * as done is done (A3), and a provider is told what it should know and nothing else (H1).
 */
import type { Event } from '../../src/contracts/events.ts';
import { attemptKey } from '../../src/contracts/ids.ts';
import { HISTORY_TEXT_BYTES } from '../../src/contracts/limits.ts';
import { at, CLOCK_SLACK_MS, type Court, type Known, type Place } from './court.ts';
import type { ActRecord, Evidence, SpoolTurn } from './evidence.ts';

/** A row as the log makes it. */
type Row = {
  messageId: string;
  seq: number;
  /** Of which attempt; a prompt is of the turn alone, and a copy of none. */
  turnId: string | null;
  attempt: number | null;
  role: 'user' | 'assistant' | 'tool' | 'system';
  kind: 'text' | 'reasoning' | 'tool';
  content: string;
  state: 'open' | 'closed' | 'discarded';
  /** The event that cut it. */
  cutSeq: number | null;
};

/** The rows that the log makes up to and with `lastSeq`, each with the cut that it has met. */
export function rowsOf(events: readonly Event[], lastSeq = Infinity): Row[] {
  const rows: Row[] = [];
  const byId = new Map<string, Row>();
  const tools = new Map<string, Row>();
  const add = (
    event: Event,
    row: Pick<Row, 'messageId' | 'role' | 'kind' | 'content' | 'state'>,
  ) => {
    const { seq, turnId = null, attempt = null } = event;
    const made = { ...row, seq, turnId, attempt, cutSeq: null };
    rows.push(made);
    byId.set(row.messageId, made);
    return made;
  };
  for (const event of events) {
    if (event.seq > lastSeq) break;
    const { attempt = 1, turnId = '' } = event;
    switch (event.type) {
      case 'message.created':
        add(event, { ...event.payload, kind: 'text', state: 'closed' });
        break;
      case 'message.copied':
        add(event, { ...event.payload, state: 'closed' });
        break;
      case 'assistant.segment.started':
        add(event, { ...event.payload, role: 'assistant', content: '', state: 'open' });
        break;
      case 'assistant.segment.ended': {
        const row = byId.get(event.payload.messageId);
        if (row !== undefined)
          Object.assign(row, { content: event.payload.content, state: 'closed' });
        break;
      }
      case 'assistant.segment.discarded': {
        const row = byId.get(event.payload.messageId);
        if (row !== undefined) row.state = 'discarded';
        break;
      }
      case 'tool.start': {
        const { messageId, toolCallId } = event.payload;
        const row = add(event, {
          messageId,
          role: 'tool',
          kind: 'tool',
          content: '',
          state: 'open',
        });
        tools.set(`${attemptKey(turnId, attempt)} ${toolCallId}`, row);
        break;
      }
      case 'tool.end': {
        const row = tools.get(`${attemptKey(turnId, attempt)} ${event.payload.toolCallId}`);
        if (row !== undefined)
          Object.assign(row, { content: event.payload.output, state: 'closed' });
        break;
      }
      case 'history.cut': {
        const { messageId } = event.payload;
        const last = rows.findIndex((row) => row.messageId === messageId);
        if (messageId !== null && last === -1) break;
        for (const row of rows.slice(last + 1)) row.cutSeq ??= event.seq;
        break;
      }
      default:
    }
  }
  return rows;
}

/** L5 with cuts, T1 of the title, and of a cut that it was asked for. */
export function checkHistory(court: Court, known: Known, evidence: Evidence): void {
  const { messages } = known.evidence;
  const place = (seqs: readonly number[]): Place => at(known, seqs);
  const stored = new Map(messages.map((row) => [row.messageId, row]));
  for (const { messageId, seq, cutSeq, content, role, state } of rowsOf(known.events)) {
    const row = stored.get(messageId);
    // Rows of segments are held against their deltas elsewhere.
    court.expect(
      'L5',
      row !== undefined && (role === 'assistant' || row.content === content),
      () => ({
        what:
          row === undefined
            ? `${role} row ${messageId} is not in the transcript${cutSeq === null ? '' : ', and was only cut'}`
            : `${role} row ${messageId} has another content in the transcript`,
        ...place([seq, ...(cutSeq === null ? [] : [cutSeq])]),
      }),
    );
    if (state !== 'discarded')
      court.expect('L5', row === undefined || (row.cut === true) === (cutSeq !== null), () => ({
        what:
          cutSeq === null
            ? `${role} row ${messageId} is marked as cut, and no cut has met it`
            : `${role} row ${messageId} was cut, and is not marked so`,
        ...place([seq, ...(cutSeq === null ? [] : [cutSeq])]),
      }));
  }
  checkCuts(court, known, evidence);
  checkRetries(court, known);
  checkTitle(court, known, evidence);
}

function checkCuts(court: Court, known: Known, evidence: Evidence): void {
  const { conversationId } = known.evidence;
  for (const [index, event] of known.events.entries()) {
    if (event.type !== 'history.cut') continue;
    const { by, messageId } = event.payload;
    if (by === 'rollback') {
      court.expect(
        'L5',
        evidence.acts.some(
          (each) =>
            each.conversationId === conversationId &&
            each.act.do === 'rollback' &&
            each.act.messageId === messageId &&
            each.sentAtMs <= Date.parse(event.at) + CLOCK_SLACK_MS,
        ),
        () => ({
          what: `the history was cut after ${messageId}, and no client had asked for it`,
          ...at(known, [event.seq]),
        }),
      );
      continue;
    }
    // One decision: the cut, the message that takes the place, its start.
    const { requestId } = event;
    const then = known.events.slice(index + 1, index + 3);
    court.expect(
      'L5',
      then[0]?.type === 'message.created' &&
        then[1]?.type === 'chat.started' &&
        then.every((each) => each.requestId === requestId),
      () => ({
        what: `the history was cut for request ${requestId}, and that did not start with it`,
        ...at(known, [event.seq]),
      }),
    );
    const asked = evidence.commands.find(
      (each) => each.requestId === requestId && each.replaces !== undefined,
    );
    const replaced = rowsOf(known.events, event.seq).find(
      (row) => row.messageId === asked?.replaces,
    );
    court.expect('L5', replaced?.cutSeq === event.seq, () => ({
      what: `request ${requestId} cut the history, and the message that it replaces (${asked?.replaces}) was not cut with it`,
      ...at(known, [event.seq]),
    }));
  }
}

/** L5: what was cut is not run again. */
function checkRetries(court: Court, known: Known): void {
  const prompts = rowsOf(known.events).filter(
    ({ role, attempt }) => role === 'user' && attempt === null,
  );
  for (const [name, { turnId, startSeq }] of known.attempts) {
    const cutSeq = prompts.find((row) => row.turnId === turnId)?.cutSeq ?? Infinity;
    court.expect('L5', cutSeq > startSeq, () => ({
      what: `attempt ${name} was started after its prompt had been cut from the history`,
      ...at(known, [cutSeq, startSeq], turnId),
    }));
  }
}

/** T1: a title is made once, from the first message, and never in place of a person's. */
function checkTitle(court: Court, known: Known, evidence: Evidence): void {
  let title = '';
  let made: number | null = null;
  for (const event of known.events) {
    if (event.type === 'conversation.created') title = event.payload.title;
    if (event.type !== 'conversation.updated' || event.payload.title === undefined) continue;
    const { title: given, commandId } = event.payload;
    if (commandId === undefined) {
      const before = { title, made };
      court.expect('T1', title === '' && made === null && given !== '', () => ({
        what:
          before.made === null
            ? `a title was made in place of ${JSON.stringify(before.title)}: ${JSON.stringify(given)}`
            : `a title was made a second time: ${JSON.stringify(given)}`,
        ...at(known, [before.made ?? event.seq, event.seq]),
      }));
      // Mail gives no title.
      const first = known.events.find(
        (each) =>
          each.type === 'message.created' &&
          each.attempt === undefined &&
          each.payload.mail === undefined,
      );
      court.expect(
        'T1',
        first?.type === 'message.created' && first.payload.content.includes(given),
        () => ({
          what: `the title ${JSON.stringify(given)} is none of the first message's`,
          ...at(known, [event.seq]),
        }),
      );
      made = event.seq;
    } else
      court.expect(
        'T1',
        evidence.acts.some(
          ({ act, conversationId }) =>
            conversationId === known.evidence.conversationId &&
            act.do === 'rename' &&
            act.title === given,
        ),
        () => ({
          what: `the title is ${JSON.stringify(given)}, which nobody has given`,
          ...at(known, [event.seq]),
        }),
      );
    title = given;
  }
}

/** A3 of what has no receipt: answered as done, it is in the log. L5 of forks: they have what their origin had. */
export function checkActs(court: Court, all: readonly Known[], evidence: Evidence): void {
  const byId = new Map(all.map((known) => [known.evidence.conversationId, known]));
  for (const asked of evidence.acts) {
    if (asked.answer.is !== 'done') continue;
    const { act, conversationId } = asked;
    const known = byId.get(conversationId);
    const isThere = known !== undefined && isDone(known, asked);
    court.expect('A3', isThere, () => ({
      what: `${act.do} of ${'requestId' in act ? act.requestId : conversationId} was answered as done, and is not in the log`,
      conversationId,
      excerpt: [JSON.stringify(asked)],
    }));
    if (act.do !== 'fork' || known === undefined) continue;
    const fork = byId.get(act.forkId);
    court.expect('A3', fork !== undefined, () => ({
      what: `the fork ${act.forkId} was answered as done, and does not exist`,
      conversationId,
      excerpt: [JSON.stringify(asked)],
    }));
    if (fork !== undefined) checkFork(court, known, fork, act.messageId);
  }
}

function isDone(known: Known, { act, sentAtMs }: ActRecord): boolean {
  const since = known.events.filter((event) => Date.parse(event.at) >= sentAtMs - CLOCK_SLACK_MS);
  const inQueue = (is: (item: { requestId: string; content: string }) => boolean): boolean =>
    since.some((event) => event.type === 'queue.changed' && event.payload.queue.some(is));
  switch (act.do) {
    case 'edit':
      return inQueue(
        ({ requestId, content }) => requestId === act.requestId && content === act.content,
      );
    case 'move':
      return inQueue(({ requestId }) => requestId === act.requestId);
    case 'promote':
      return since.some(
        (event) =>
          (event.type === 'queue.changed' && event.payload.queue[0]?.requestId === act.requestId) ||
          (event.type === 'chat.started' && event.requestId === act.requestId),
      );
    case 'remove':
      return since.some(
        (event) =>
          event.type === 'chat.cancelled' &&
          event.requestId === act.requestId &&
          event.attempt === undefined,
      );
    case 'hold':
    case 'release':
      return since.some(({ type }) => type === 'queue.changed');
    case 'rename':
      return since.some(
        (event) => event.type === 'conversation.updated' && event.payload.title === act.title,
      );
    case 'archive':
      return since.some(
        (event) => event.type === 'conversation.updated' && event.payload.archived === act.archived,
      );
    case 'rollback':
      return since.some(
        (event) => event.type === 'history.cut' && event.payload.messageId === act.messageId,
      );
    case 'new-chat':
      return known.events.length > 0;
    // The log of the table tells; or there was nothing to do.
    case 'activate':
    case 'cancel-and-hold':
    case 'fork':
      return true;
  }
}

function checkFork(court: Court, origin: Known, fork: Known, messageId: string | null): void {
  const order = fork.evidence.epochs[0]?.order ?? Infinity;
  const upTo = origin.evidence.epochs.filter((each) => each.order < order).at(-1)?.seq ?? 0;
  const rows = rowsOf(origin.events, upTo);
  const last =
    messageId === null ? rows.length : rows.findIndex((row) => row.messageId === messageId) + 1;
  const wanted = rows
    .slice(0, last)
    .filter(({ state, cutSeq }) => state === 'closed' && cutSeq === null)
    .map(({ role, kind, content }) => `${role} ${kind} ${content}`);
  const copied = fork.events.flatMap((event) => (event.type === 'message.copied' ? [event] : []));
  const got = copied.map(({ payload }) => `${payload.role} ${payload.kind} ${payload.content}`);
  court.expect('L5', got.join('\u0000') === wanted.join('\u0000'), () => ({
    what: `the fork has ${got.length} rows of the ${wanted.length} that its origin had up to there, or others`,
    ...at(
      fork,
      copied.map(({ seq }) => seq),
    ),
  }));
  const own = new Set(rows.map((row) => row.messageId));
  court.expect(
    'L5',
    copied.every(({ payload }) => !own.has(payload.messageId)),
    () => ({
      what: 'a row of the fork has the id of its origin',
      ...at(
        fork,
        copied.map(({ seq }) => seq),
      ),
    }),
  );
}

/** H1: what the provider was told, by the calls and sessions that its spools have. */
export function checkTold(court: Court, known: Known, evidence: Evidence): void {
  const { conversationId } = known.evidence;
  const rows = rowsOf(known.events);
  const spools = evidence.spools.filter((each) => each.conversationId === conversationId);
  const bySeq = spools
    .flatMap((spool) => {
      const attempt = known.attempts.get(spool.attemptKey);
      return attempt === undefined ? [] : [{ spool, attempt }];
    })
    .toSorted((a, b) => a.attempt.startSeq - b.attempt.startSeq);
  /** Attempts that each session of the provider has seen, and from where on. */
  const seen = new Map<string, Map<string, number>>();
  for (const { spool, attempt } of bySeq) {
    const { startSeq, turnId } = attempt;
    const name = spool.attemptKey;
    const isCut = (row: Row): boolean => row.cutSeq !== null && row.cutSeq < startSeq;
    const where = (): Place => at(known, [startSeq], turnId);
    const before = rows.filter((row) => row.seq < startSeq && row.turnId !== turnId);
    if (spool.sessionId !== null) {
      const session = seen.get(spool.sessionId) ?? new Map<string, number>();
      seen.set(spool.sessionId, session);
      const forbidden = rows.find((row) => isCut(row) && isOfSession(row, session));
      court.expect('H1', forbidden === undefined, () => ({
        what: `attempt ${name} ran in a session of the provider that knows of ${forbidden?.messageId}, which was cut before`,
        ...where(),
      }));
      checkNewSession({
        court,
        spool,
        session,
        before: before.filter((row) => !isCut(row)),
        where,
      });
      session.set(name, startSeq);
    }
    const { history } = spool;
    if (history === null) continue;
    const kept = new Set(before.filter((row) => !isCut(row)).map(({ content }) => content));
    const told = before.find(
      ({ role, content, ...row }) =>
        role === 'user' &&
        isCut({ role, content, ...row }) &&
        !kept.has(content) &&
        history.includes(content),
    );
    court.expect('H1', told === undefined, () => ({
      what: `attempt ${name} was told of ${told?.messageId}, which was cut before`,
      ...where(),
    }));
  }
}

/** Whether the provider has met that row, in one of these attempts, before it was cut. */
function isOfSession(row: Row, session: ReadonlyMap<string, number>): boolean {
  const { turnId, attempt, cutSeq } = row;
  if (turnId === null) return false;
  return [...session].some(
    ([key, startSeq]) =>
      startSeq < (cutSeq ?? Infinity) &&
      (attempt === null ? key.startsWith(`${turnId}.`) : key === attemptKey(turnId, attempt)),
  );
}

/** A session that has seen nothing is told what was said before; the newest of it, as far as its bound. */
function checkNewSession(given: {
  court: Court;
  spool: SpoolTurn;
  session: ReadonlyMap<string, number>;
  before: readonly Row[];
  where: () => Place;
}): void {
  const { court, spool, session, before, where } = given;
  if (session.size > 0) return;
  const said = before.filter(
    ({ state, kind, content }) => state === 'closed' && kind === 'text' && content.trim() !== '',
  );
  const newest = said.findLastIndex(({ role }) => role === 'user');
  if (newest === -1) return;
  const bytes = said
    .slice(newest)
    .reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  // What is too long for it may have pushed the message out.
  if (bytes > HISTORY_TEXT_BYTES / 2) return;
  const content = said[newest]?.content ?? '';
  court.expect('H1', spool.history?.includes(content) === true, () => ({
    what: `attempt ${spool.attemptKey} began a session of the provider that was ${spool.history === null ? 'told nothing of what was said before' : `not told of ${said[newest]?.messageId}`}`,
    ...where(),
  }));
}
