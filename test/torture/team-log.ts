/**
 * Teams and mailboxes as the logs of their members tell them: what the rules of agents rest on. A mailbox is worked out from its
 * conversation's own events alone, and from whose request is whose row (mail-request-id.ts).
 */
import type {
  AgentLinkValue,
  Event,
  MailKindName,
  MailMarkValue,
  MailStateName,
  OutcomeName,
} from '../../src/contracts/events.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import { at, excerpt, type Known, type Place, type StreamRecord } from './court.ts';
import type { AgentAct, Evidence, TeamEvidence } from './evidence.ts';

/** How a turn came to a row: it began with it, was given it along with another, or took it in while it ran. */
export type Application = {
  seq: number;
  turnId: string;
  attempt: number;
  how: 'started' | 'joined' | 'steered';
};

/** A row of a mailbox. */
export type Row = {
  messageId: string;
  /** The sender's conversation. */
  from: string | null;
  kind: MailKindName;
  content: string;
  outcome: OutcomeName | null;
  whenBusy: 'queue' | 'steer';
  waits: boolean;
  covers: readonly { messageId: string; from: string }[];
  boot: string | null;
  /** Of the present sending. */
  expiresAtMs: number;
  acceptedAt: string;
  seq: number;
  order: number;
  atMs: number;
  /** Later ones of the same name: there must be none. */
  again: number[];
  /** How often it was sent, and under which requestIds. */
  sending: number;
  requestIds: string[];
  resends: { seq: number; atMs: number; sending: number; before: MailStateName }[];
  /** How long before its time, each time that it has expired. */
  expiries: { seq: number; earlyMs: number }[];
  state: MailStateName;
  /** Of `failed` and `expired`, and the event that says so. */
  reason: string | null;
  reasonSeq: number | null;
  applications: Application[];
  /** By the row that tells it. */
  coveredBy: string | null;
  /** Somebody has held it in the queue. */
  wasHeld: boolean;
};

/** A message that says which mail it is. */
export type Told = {
  seq: number;
  turnId: string;
  /** Of what a running turn has taken in. */
  attempt: number | null;
  content: string;
  marks: readonly MailMarkValue[];
};

export type Mailbox = { known: Known; rows: Map<string, Row>; told: Told[] };

export type Member = {
  known: Known;
  /** Null: the root. */
  link: AgentLinkValue | null;
  mailbox: Mailbox;
};

export type Team = {
  rootId: string;
  /** By conversationId, the root too. */
  members: ReadonlyMap<string, Member>;
  /** Null: nobody has asked for it. */
  evidence: TeamEvidence | null;
  events: readonly Event[];
  stream: StreamRecord;
};

export const rowKey = (from: string | null, messageId: string): string =>
  `${from ?? ''} ${messageId}`;

export const agentIdOf = ({ link }: Member): string => link?.agentId ?? 'root';

export function linkOf({ events }: Known): AgentLinkValue | null {
  const created = events.find((event) => event.type === 'conversation.created');
  return created?.payload.agent ?? null;
}

/** Places of a conversation's events among all. */
export function ordersOf({ evidence }: Known): Map<number, number> {
  return new Map(evidence.epochs.map(({ seq, order }) => [seq, order]));
}

export function teamsOf(all: readonly Known[], evidence: Evidence): Team[] {
  const children = Map.groupBy(
    all.filter((known) => linkOf(known) !== null),
    (known) => linkOf(known)?.rootId ?? '',
  );
  return [...children].map(([rootId, agents]) => {
    const root = all.filter((known) => known.evidence.conversationId === rootId);
    const members = new Map(
      [...root, ...agents].map((known) => [
        known.evidence.conversationId,
        { known, link: linkOf(known), mailbox: readMailbox(known) },
      ]),
    );
    const recorded = evidence.teams.find((each) => each.rootId === rootId) ?? null;
    const log = recorded?.log ?? [];
    return {
      rootId,
      members,
      evidence: recorded,
      events: log.map(({ json }) => JSON.parse(json) as Event),
      stream: {
        log,
        rereads: recorded?.rereads ?? [],
        bySeq: new Map(log.map(({ seq, json }) => [seq, json])),
        at: (seqs: readonly number[]): Place => ({
          conversationId: rootId,
          seqs,
          excerpt: excerpt(log, seqs),
        }),
      },
    };
  });
}

export function readMailbox(known: Known): Mailbox {
  const orders = ordersOf(known);
  const reader = new MailboxReader();
  for (const event of known.events) reader.see(event, orders.get(event.seq) ?? Infinity);
  return { known, rows: reader.rows, told: reader.told };
}

/** A mailbox, as the events of its conversation make it one after the other. */
export class MailboxReader {
  readonly rows = new Map<string, Row>();
  readonly told: Told[] = [];
  readonly #byRequest = new Map<string, Row>();

  /** How many rows are in each state now. */
  counts(): Record<MailStateName, number> {
    const counts = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
    for (const { state } of this.rows.values()) counts[state] += 1;
    return counts;
  }

  see(event: Event, order: number): void {
    const { seq, turnId = '' } = event;
    const row = this.#byRequest.get(event.requestId ?? '');
    switch (event.type) {
      case 'mail.accepted': {
        const { from, messageId } = event.payload;
        const first = this.rows.get(rowKey(from, messageId));
        if (first === undefined) this.#insert(newRow(event, order));
        else first.again.push(seq);
        return;
      }
      case 'mail.again': {
        const { from, messageId, sending } = event.payload;
        const found = this.rows.get(rowKey(from, messageId));
        if (found !== undefined) this.#again(found, event.at, { seq, sending });
        return;
      }
      case 'mail.expired': {
        const found = this.rows.get(rowKey(event.payload.from, event.payload.messageId));
        if (found === undefined) return;
        found.expiries.push({ seq, earlyMs: found.expiresAtMs - Date.parse(event.at) });
        this.#move(found, { state: 'expired', reason: 'expired', reasonSeq: seq });
        return;
      }
      case 'message.created': {
        const { content } = event.payload;
        const { attempt = null } = event;
        // What a running turn has taken in says its request, and no more.
        const taken = attempt === null || row === undefined ? [] : [row];
        const marks =
          event.payload.mail ??
          taken.map(({ messageId, from, kind }) => ({ messageId, from, kind }));
        if (marks.length > 0) this.told.push({ seq, turnId, attempt, content, marks });
        return;
      }
      case 'queue.changed':
        for (const { requestId, held } of event.payload.queue) {
          const waits = this.#byRequest.get(requestId);
          if (waits !== undefined && held === true) waits.wasHeld = true;
        }
        return;
      default:
        if (row !== undefined) this.#follow(row, event);
    }
  }

  /** What has become of a row's request. */
  #follow(row: Row, event: Event): void {
    const { seq, turnId = '' } = event;
    switch (event.type) {
      case 'chat.queued':
        this.#move(row, { state: 'delivered' });
        return;
      case 'chat.rejected':
        this.#move(row, { state: 'failed', reason: event.payload.code, reasonSeq: seq });
        return;
      case 'chat.cancelled':
        if (event.attempt === undefined)
          this.#move(row, { state: 'failed', reason: 'removed', reasonSeq: seq });
        return;
      case 'chat.started':
        this.#apply(row, { seq, turnId, attempt: event.payload.attempt, how: 'started' });
        return;
      case 'chat.steered': {
        const { payload } = event;
        const isJoined = this.told.some(
          (each) =>
            each.turnId === payload.turnId && each.attempt === null && each.marks.some(isOf(row)),
        );
        this.#apply(row, { seq, ...payload, how: isJoined ? 'joined' : 'steered' });
        return;
      }
      default:
    }
  }

  #insert(row: Row): void {
    this.rows.set(rowKey(row.from, row.messageId), row);
    this.#send(row);
    for (const covered of row.covers) {
      const other = this.rows.get(rowKey(covered.from, covered.messageId));
      if (other !== undefined) other.coveredBy ??= row.messageId;
    }
  }

  #again(row: Row, acceptedAt: string, { seq, sending }: { seq: number; sending: number }): void {
    const atMs = Date.parse(acceptedAt);
    row.resends.push({ seq, atMs, sending, before: row.state });
    // It is given as long as it had.
    row.expiresAtMs += atMs - Date.parse(row.acceptedAt);
    Object.assign(row, { sending, acceptedAt, coveredBy: null });
    this.#send(row);
  }

  #send(row: Row): void {
    const { from, messageId, sending } = row;
    const requestId = mailRequestId({ from, messageId, sending });
    row.requestIds.push(requestId);
    this.#byRequest.set(requestId, row);
    this.#move(row, { state: 'accepted' });
  }

  #apply(row: Row, application: Application): void {
    for (const each of [row, ...this.#covered(row)]) each.applications.push(application);
    this.#move(row, { state: 'applied' });
  }

  /** What it covers fares as it does. */
  #move(row: Row, to: Pick<Row, 'state'> & Partial<Pick<Row, 'reason' | 'reasonSeq'>>): void {
    for (const each of [row, ...this.#covered(row)])
      Object.assign(each, { reason: null, reasonSeq: null, ...to });
  }

  #covered(row: Row): Row[] {
    return row.covers.flatMap(({ from, messageId }) => {
      const covered = this.rows.get(rowKey(from, messageId));
      return covered?.coveredBy === row.messageId ? [covered] : [];
    });
  }
}

/** Whether a mark is that row's. */
export const isOf =
  (row: Pick<Row, 'messageId' | 'from'>) =>
  (mark: Pick<MailMarkValue, 'messageId' | 'from'>): boolean =>
    mark.messageId === row.messageId && mark.from === row.from;

function newRow(event: Extract<Event, { type: 'mail.accepted' }>, order: number): Row {
  const { payload, seq } = event;
  return {
    messageId: payload.messageId,
    from: payload.from,
    kind: payload.kind,
    content: payload.content,
    outcome: payload.outcome ?? null,
    whenBusy: payload.whenBusy ?? 'queue',
    waits: payload.waits === true,
    covers: payload.covers ?? [],
    boot: payload.boot ?? null,
    expiresAtMs: payload.expiresAt === undefined ? Infinity : Date.parse(payload.expiresAt),
    acceptedAt: event.at,
    seq,
    order,
    atMs: Date.parse(event.at),
    again: [],
    sending: 1,
    requestIds: [],
    resends: [],
    expiries: [],
    state: 'accepted',
    reason: null,
    reasonSeq: null,
    applications: [],
    coveredBy: null,
    wasHeld: false,
  };
}

/** A step of a script that asks for an agent, or writes to one. */
export type TeamStep =
  | { do: 'spawn'; agentId: string; content: string }
  | { do: 'tell'; to: string; content: string };

/** What an agent's own scripts ask of its team. */
export type Asked = TeamStep & {
  by: string;
  /** Turns whose script it is, with each time that one ran. */
  attempts: readonly { turnId: string; startedMs: number }[];
};

export function askedByScripts({ known }: Member): Asked[] {
  const by = known.evidence.conversationId;
  const asked: Asked[] = [];
  for (const content of new Set(known.contents.values())) {
    const attempts = [...known.attempts.values()]
      .filter((attempt) => attempt.content === content)
      .map(({ turnId, startAtMs }) => ({ turnId, startedMs: startAtMs }));
    for (const step of stepsOf(content)) asked.push({ by, attempts, ...step });
  }
  return asked;
}

export function stepsOf(content: string): TeamStep[] {
  if (!content.startsWith('#script\n')) return [];
  return content.split('\n').flatMap((line): TeamStep[] => {
    const found = /^(spawn|tell) (\S+) (".*")$/u.exec(line);
    if (found === null) return [];
    const [, step, name = '', json = '""'] = found;
    const text = JSON.parse(json) as string;
    return step === 'spawn'
      ? [{ do: 'spawn', agentId: name, content: text }]
      : [{ do: 'tell', to: name, content: text }];
  });
}

/**
 * A cancel by cascade is, to every rule, a cancel that holds of whatever is below, too: also of what was made later, for what it
 * says goes from parent to child.
 */
export function withCascades(evidence: Evidence, teams: readonly Team[]): Evidence {
  const members = new Map(teams.flatMap((team) => [...team.members]));
  const isBelow = (id: string, top: string): boolean => {
    let above: string | undefined = id;
    while (above !== undefined && above !== top) above = members.get(above)?.link?.parentId;
    return above === top;
  };
  const met = actsOf(evidence, 'cascade').flatMap(({ conversationId, sentAtMs }) =>
    [...new Set([conversationId, ...members.keys()])]
      .filter((id) => isBelow(id, conversationId))
      .map((id) => ({ conversationId: id, sentAtMs })),
  );
  return {
    ...evidence,
    acts: [
      ...evidence.acts,
      ...met.map(({ conversationId, sentAtMs }) => ({
        act: { do: 'cancel-and-hold' as const },
        conversationId,
        tableId: null,
        sentAtMs,
        answeredAtMs: Infinity,
        answer: { is: 'unknown' as const, why: 'by cascade' },
      })),
    ],
    cancels: [...evidence.cancels, ...met.map((each) => ({ ...each, turnId: null }))],
  };
}

/** An act with what was answered. */
export type ActOf<Name extends AgentAct['do']> = Evidence['agentActs'][number] & {
  act: Extract<AgentAct, { do: Name }>;
};

export function actsOf<Name extends AgentAct['do']>(
  { agentActs }: Evidence,
  name: Name,
): ActOf<Name>[] {
  return agentActs.filter((each): each is ActOf<Name> => each.act.do === name);
}

/** Where a row shows. */
export function rowPlace({ known }: Mailbox, row: Row, more: readonly number[] = []): Place {
  return at(known, [row.seq, ...row.applications.map(({ seq }) => seq), ...more]);
}
