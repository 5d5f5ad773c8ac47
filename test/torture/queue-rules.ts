/**
 * S2, held queues and what becomes of what waits: a conversation's queue, replayed from its log.
 *
 *  1 What is queued enters once: at the end, or at the front when it was sent to interrupt.
 *  2 What is in it keeps its order and its text, unless a client asked to move, promote or edit it.
 *  3 It leaves by its start, by a removal that a client asked for, into the turn that took it in, or, a retry, because its turn
 *    was cut from the history; and starts from the front, with the text that it had there. Mail that follows mail there, and is no
 *    task, may be given to the turn that starts with it: at once, in order, and the log says so of each.
 *  4 What is held does not start; it is held because a client did what holds it, when it was there already, and released because
 *    one asked for that. What is not held is not overtaken by what comes later.
 */
import type { Event, QueueItemValue } from '../../src/contracts/events.ts';
import { at, CLOCK_SLACK_MS, type Court, type Known } from './court.ts';
import type { Act, Evidence } from './evidence.ts';
import { rowsOf } from './history-rules.ts';

type Changed = Extract<Event, { type: 'queue.changed' }>;

export function checkQueue(court: Court, known: Known, evidence: Evidence): void {
  new Replay(court, known, evidence).run();
}

class Replay {
  readonly #court: Court;
  readonly #known: Known;
  readonly #evidence: Evidence;
  #queue: readonly QueueItemValue[] = [];
  /** All of it is held, as it was told. */
  #held = false;
  /** Queued since the queue was told last: requestId → position. */
  #entering = new Map<string, number>();
  /** Ended as removed since then: requestId → by whom. */
  #removed = new Map<string, string>();
  readonly #steered = new Set<string>();
  /** It has left the queue, and nothing but its start can be next; `joined`: mail that its turn is given, too. */
  #starting: { item: QueueItemValue; joined: readonly QueueItemValue[]; seq: number } | null = null;
  /** Mail that the turn which has just started is still to be said to have been given. */
  #joining: { left: QueueItemValue[]; turnId: string; seq: number } | null = null;

  constructor(court: Court, known: Known, evidence: Evidence) {
    this.#court = court;
    this.#known = known;
    this.#evidence = evidence;
  }

  run(): void {
    for (const event of this.#known.events) this.#see(event);
    this.#mustHaveStarted(this.#known.events.at(-1)?.seq ?? 0);
    this.#mustHaveJoined(this.#known.events.at(-1)?.seq ?? 0);
  }

  #expect(holds: boolean, seqs: readonly number[], what: () => string): void {
    this.#court.expect('S2', holds, () => ({ what: what(), ...at(this.#known, seqs) }));
  }

  #see(event: Event): void {
    const { requestId = '', seq } = event;
    if (event.type !== 'chat.steered') this.#mustHaveJoined(seq);
    switch (event.type) {
      case 'chat.queued':
        this.#entering.set(requestId, event.payload.position);
        return;
      case 'chat.cancelled':
        if (event.attempt === undefined) this.#removed.set(requestId, event.payload.by);
        return;
      case 'chat.steered':
        if (this.#join(event, requestId)) return;
        this.#expect(
          this.#queue.some((item) => item.requestId === requestId),
          [seq],
          () => `request ${requestId} was taken in by a running turn, and was not in the queue`,
        );
        this.#steered.add(requestId);
        return;
      case 'queue.changed':
        this.#mustHaveStarted(seq);
        this.#change(event);
        return;
      case 'message.created':
        if (event.attempt === undefined && this.#starting?.item.requestId === requestId) {
          const { item } = this.#starting;
          // Of mail the queue has the beginning only, and a turn may be given more than one.
          const isMail = item.mail !== undefined && item.edited === undefined;
          this.#expect(
            isMail
              ? event.payload.content.startsWith(item.content)
              : event.payload.content === item.content,
            [seq],
            () => `request ${requestId} left the queue with another text than it had there`,
          );
        }
        return;
      case 'chat.started':
        this.#start(requestId, seq, event.turnId ?? '');
        return;
      default:
    }
  }

  /** Whether it says that mail was given to the turn which has just started. */
  #join({ payload, seq }: Extract<Event, { type: 'chat.steered' }>, requestId: string): boolean {
    const joining = this.#joining;
    if (joining === null) return false;
    const due = joining.left.shift();
    if (joining.left.length === 0) this.#joining = null;
    this.#expect(
      due?.requestId === requestId && payload.turnId === joining.turnId,
      [joining.seq, seq],
      () =>
        `request ${due?.requestId} left the queue to be given to turn ${joining.turnId}, and ${requestId} was given to ${payload.turnId}`,
    );
    return true;
  }

  #mustHaveJoined(seq: number): void {
    const joining = this.#joining;
    this.#joining = null;
    this.#expect(
      joining === null,
      [joining?.seq ?? seq, seq],
      () =>
        `request ${joining?.left[0]?.requestId} left the queue with one that was started, and was not given to its turn`,
    );
  }

  #start(requestId: string, seq: number, turnId: string): void {
    const starting = this.#starting;
    this.#starting = null;
    if (starting !== null) {
      if (starting.joined.length > 0)
        this.#joining = { left: [...starting.joined], turnId, seq: starting.seq };
      this.#expect(
        starting.item.requestId === requestId,
        [starting.seq, seq],
        () => `request ${starting.item.requestId} left the queue, and ${requestId} was started`,
      );
      return;
    }
    this.#expect(
      this.#queue.every((item) => item.requestId !== requestId),
      [seq],
      () => `request ${requestId} was started, and is still in the queue`,
    );
    const waits = this.#queue.find((item) => item.held !== true);
    this.#expect(
      waits === undefined,
      [seq],
      () =>
        `request ${requestId} was started ahead of ${waits?.requestId}, which waits and is not held`,
    );
  }

  #mustHaveStarted(seq: number): void {
    const starting = this.#starting;
    this.#expect(
      starting === null,
      [starting?.seq ?? seq, seq],
      () =>
        `request ${starting?.item.requestId} left the queue, and was neither started, removed nor taken in by a turn`,
    );
    this.#starting = null;
  }

  #change(event: Changed): void {
    const before = this.#queue;
    const { queue: after } = event.payload;
    const held = after.length > 0 && (event.payload.held ?? this.#held);
    this.#expect(
      held === (after.length > 0 && after.every((item) => item.held === true)),
      [event.seq],
      () => `the queue is told to be ${held ? '' : 'not '}held, and its rows say otherwise`,
    );
    for (const [position, item] of after.entries())
      this.#expect(
        item.position === position,
        [event.seq],
        () =>
          `request ${item.requestId} is at ${position} in the queue, which says ${item.position}`,
      );
    this.#enter(event, before);
    this.#leave(event, before);
    this.#keepOrder(event, before);
    this.#keepTexts(event, before);
    this.#checkHeld(event, before);
    this.#queue = after;
    this.#held = held;
    this.#entering = new Map();
    this.#removed = new Map();
  }

  #enter({ seq, payload }: Changed, before: readonly QueueItemValue[]): void {
    const ids = new Set(before.map(({ requestId }) => requestId));
    const came = payload.queue.filter(({ requestId }) => !ids.has(requestId));
    for (const { requestId, position } of came) {
      const told = this.#entering.get(requestId);
      this.#expect(
        told !== undefined,
        [seq],
        () => `request ${requestId} is in the queue, and was never queued`,
      );
      if (told === undefined) continue;
      const last = position === payload.queue.length - 1;
      const interrupts = this.#evidence.commands.some(
        (asked) => asked.requestId === requestId && asked.whenBusy === 'interrupt',
      );
      this.#expect(
        told === position && (last || (position === 0 && interrupts)),
        [seq],
        () =>
          `request ${requestId} was queued at ${told}, and came to ${position} of ${payload.queue.length}${interrupts ? '' : ', without an interrupt'}`,
      );
    }
    for (const requestId of this.#entering.keys())
      this.#expect(
        came.some((item) => item.requestId === requestId),
        [seq],
        () => `request ${requestId} was queued, and is not in the queue`,
      );
  }

  #leave(event: Changed, before: readonly QueueItemValue[]): void {
    const { seq, payload } = event;
    const ids = new Set(payload.queue.map(({ requestId }) => requestId));
    const left = before.filter(({ requestId }) => !ids.has(requestId));
    for (const item of left) {
      const { requestId } = item;
      const by = this.#removed.get(requestId);
      if (by === 'history-cut')
        this.#expect(
          item.attempt > 1 && this.#isCut(item.turnId, seq),
          [seq],
          () =>
            `request ${requestId} was removed from the queue as cut, and is no retry of what was`,
        );
      else if (by !== undefined)
        this.#expect(
          this.#wasAsked(event, (act) => act.do === 'remove' && act.requestId === requestId),
          [seq],
          () => `request ${requestId} was removed from the queue, and no client had asked for it`,
        );
    }
    const gone = (id: string): boolean => this.#removed.has(id) || this.#steered.has(id);
    for (const requestId of this.#removed.keys())
      this.#expect(
        left.some((item) => item.requestId === requestId),
        [seq],
        () => `request ${requestId} ended as removed, and was not in the queue, or still is`,
      );
    const started = left.filter(({ requestId }) => !gone(requestId));
    const isGiven = (each: QueueItemValue): boolean =>
      each.mail !== undefined &&
      each.mail.kind !== 'task' &&
      each.edited === undefined &&
      each.attempt === 1;
    this.#expect(
      started.length <= 1 || started.every((each) => isGiven(each)),
      [seq],
      () =>
        `${started.length} requests left the queue at once: ${started.map(({ requestId }) => requestId).join(', ')}`,
    );
    const item = started.find(({ requestId }) => this.#isPromoted(event, requestId)) ?? started[0];
    if (item === undefined) return;
    const joined = started.filter((each) => each !== item);
    this.#starting = { item, joined, seq };
    const isPromoted = this.#isPromoted(event, item.requestId);
    const isReleased = isPromoted || this.#wasAsked(event, ({ do: what }) => what === 'release');
    const waits = before.filter(({ requestId }) => !gone(requestId));
    const first = waits.find(({ held }) => held !== true);
    this.#expect(
      item === first || isPromoted || (isReleased && item === waits[0]),
      [seq],
      () =>
        `request ${item.requestId} was started from the queue, before ${(first ?? waits[0])?.requestId}`,
    );
    this.#expect(
      item.held !== true || isReleased,
      [seq],
      () => `request ${item.requestId} was held, and was started though nobody had released it`,
    );
    const behind = waits.filter((each) => each !== item && (each.held !== true || isReleased));
    this.#expect(
      joined.every((each, index) => each === behind[index]),
      [seq],
      () =>
        `requests ${joined.map(({ requestId }) => requestId).join(', ')} were given to the turn of ${item.requestId}, behind which ${behind[0]?.requestId} stood first`,
    );
  }

  #isPromoted(event: Changed, requestId: string): boolean {
    return this.#wasAsked(event, (act) => act.do === 'promote' && act.requestId === requestId);
  }

  #keepOrder(event: Changed, before: readonly QueueItemValue[]): void {
    const { queue: after } = event.payload;
    const idsBefore = before.map(({ requestId }) => requestId);
    const idsAfter = after.map(({ requestId }) => requestId);
    const stayed = idsBefore.filter((id) => idsAfter.includes(id));
    const now = idsAfter.filter((id) => idsBefore.includes(id));
    const isSame = (without: string | null): boolean =>
      stayed.filter((id) => id !== without).join(' ') ===
      now.filter((id) => id !== without).join(' ');
    const moved = isSame(null)
      ? null
      : stayed.find(
          (id) =>
            isSame(id) &&
            this.#wasAsked(
              event,
              (act) =>
                (act.do === 'promote' && act.requestId === id && now[0] === id) ||
                (act.do === 'move' &&
                  act.requestId === id &&
                  idsAfter.indexOf(id) === Math.min(act.position, idsAfter.length - 1)),
            ),
        );
    this.#expect(
      moved !== undefined,
      [event.seq],
      () =>
        `the queue was [${stayed.join(', ')}] and is [${now.join(', ')}], which no client had asked for`,
    );
  }

  #keepTexts(event: Changed, before: readonly QueueItemValue[]): void {
    for (const item of event.payload.queue) {
      const { requestId, content } = item;
      const old = before.find((each) => each.requestId === requestId);
      if (old === undefined || old.content === content) continue;
      this.#expect(
        (item.edited ?? 0) === (old.edited ?? 0) + 1 &&
          this.#wasAsked(
            event,
            (act) => act.do === 'edit' && act.requestId === requestId && act.content === content,
          ),
        [event.seq],
        () =>
          `the text of request ${requestId} was changed in the queue, and no client had asked for that one`,
      );
    }
  }

  #checkHeld(event: Changed, before: readonly QueueItemValue[]): void {
    for (const { requestId, held } of event.payload.queue) {
      const old = before.find((item) => item.requestId === requestId);
      if (held === true && old?.held !== true)
        this.#expect(
          old !== undefined &&
            (this.#wasAsked(
              event,
              ({ do: what }) => what === 'hold' || what === 'cancel-and-hold',
            ) ||
              this.#wasLeft(event)),
          [event.seq],
          () =>
            old === undefined
              ? `request ${requestId} was held as it came`
              : `request ${requestId} is held, and nobody did what holds it`,
        );
      if (held !== true && old?.held === true)
        this.#expect(
          this.#wasAsked(
            event,
            (act) => act.do === 'release' || (act.do === 'promote' && act.requestId === requestId),
          ),
          [event.seq],
          () => `request ${requestId} is no longer held, and nobody had released it`,
        );
    }
  }

  /** Whether that turn's prompt had been cut by then. */
  #isCut(turnId: string, seq: number): boolean {
    return rowsOf(this.#known.events, seq).some(
      (row) => row.turnId === turnId && row.attempt === null && row.cutSeq !== null,
    );
  }

  /** Whether a client had asked for such a thing in this conversation by then. */
  #wasAsked({ at: stamp }: Event, is: (act: Act) => boolean): boolean {
    const { conversationId } = this.#known.evidence;
    return this.#evidence.acts.some(
      (each) =>
        each.conversationId === conversationId &&
        each.sentAtMs <= Date.parse(stamp) + CLOCK_SLACK_MS &&
        is(each.act),
    );
  }

  /** Whether somebody had gone to another conversation of its table by then, in a way that stops what runs. */
  #wasLeft({ at: stamp }: Event): boolean {
    const { tableId, evidence } = this.#known;
    return (
      tableId !== null &&
      this.#evidence.acts.some(
        ({ act, sentAtMs, ...each }) =>
          each.tableId === tableId &&
          each.conversationId !== evidence.conversationId &&
          sentAtMs <= Date.parse(stamp) + CLOCK_SLACK_MS &&
          (act.do === 'new-chat' || (act.do === 'activate' && act.whenBusy === 'interrupt')),
      )
    );
  }
}
