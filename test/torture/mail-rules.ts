/**
 * M1: what one agent says to another arrives once, and nothing that an agent was asked for is half there.
 *
 *  1 Of each (receiver, sender, messageId) there is one row. In the end it is applied, failed or expired, with a reason that the
 *    receiver's log has; sent again it is only where somebody asked for that, and only after it had failed or expired.
 *  2 What is applied is applied once: by the turn that began with it, was given it along with other mail, or took it in. Its text
 *    is in the transcript once, in that turn, whole, under the name of who said it, in the order of the marks. What another row
 *    tells is told by that one alone.
 *    What waits starts nothing by itself: it is taken along with other mail, or after a turn that was not cancelled.
 *  3 What one sender says to one receiver is applied in the order of its acceptance, as far as nothing was meant to wait, to be
 *    held, to be taken in early or to be sent again.
 *  4 Every attempt of a child's task that has ended has one row in its parent's mailbox, written with that end, which says how it
 *    ended; no other row says such a thing.
 *  5 An agent begins with its link and its task; somebody asked for just that one. What was answered exists; what had to be
 *    refused does not.
 *  6 What is read of a mailbox, by either side, is what the logs say.
 */
import type { MailRowValue } from '../../src/contracts/agents.ts';
import type { Event } from '../../src/contracts/events.ts';
import { attemptKey } from '../../src/contracts/ids.ts';
import { MAIL_END_BYTES } from '../../src/contracts/limits.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import {
  at,
  type Attempt,
  CLOCK_SLACK_MS,
  type Court,
  firstDifference,
  type Known,
  OUTCOME_OF,
  type Place,
} from './court.ts';
import type { Evidence } from './evidence.ts';
import {
  type ActOf,
  actsOf,
  agentIdOf,
  type Asked,
  askedByScripts,
  isOf,
  type Mailbox,
  type Member,
  ordersOf,
  type Row,
  rowKey,
  rowPlace,
  type Team,
  type Told,
} from './team-log.ts';

/** Begins the line that says whose mail it is. Source: docs/agents.md. */
const HEADING = '[Holdfast mail] ';
const DONE = new Set(['applied', 'failed', 'expired']);
const RECEIPTS = new Set(['chat.queued', 'chat.started', 'chat.rejected']);
/** From an end to what its Workflow decides upon it, whatever dies in between. */
const SETTLED_WITHIN_MS = 20_000;
/** As much of a child's answer as is told whole, its marks of what is left out apart. */
const WHOLE_BYTES = MAIL_END_BYTES / 2;

type Given = { court: Court; teams: readonly Team[]; all: readonly Known[]; evidence: Evidence };

export function checkMail(given: Given): void {
  const { court, teams, all, evidence } = given;
  for (const team of teams) {
    const asked = [...team.members.values()].flatMap((member) => askedByScripts(member));
    for (const member of team.members.values()) {
      const { mailbox } = member;
      for (const row of mailbox.rows.values()) {
        checkRow(court, mailbox, row, evidence);
        checkWaiting(court, mailbox, row);
        checkSender(court, team, member, row, { asked, evidence });
      }
      checkTold(court, team, mailbox);
      checkOrder(court, mailbox);
      checkTools(court, team, member);
      if (member.link !== null) {
        checkEnds(court, team, member);
        checkBeginning(court, team, member, { asked, evidence });
      }
    }
    checkOthersEnds(court, team);
    checkReading(court, team);
  }
  checkAnswers(court, given);
  checkNotInTeams(court, given, all);
}

const whose = ({ messageId, from }: Row): string => `row ${messageId} from ${from ?? 'Holdfast'}`;

/** 1, and how often it was applied. */
function checkRow(court: Court, mailbox: Mailbox, row: Row, evidence: Evidence): void {
  const { conversationId } = mailbox.known.evidence;
  const expect = (holds: boolean, what: () => string): void =>
    court.expect('M1', holds, () => ({
      what: `${what()} (mailbox of ${conversationId})`,
      ...rowPlace(mailbox, row, row.again),
    }));
  expect(row.again.length === 0, () => `${whose(row)} was accepted ${row.again.length + 1} times`);
  expect(
    DONE.has(row.state),
    () => `${whose(row)} (${row.kind}) is still ${row.state} when everything is over`,
  );
  expect(
    row.applications.length <= 1,
    () =>
      `${whose(row)} was applied ${row.applications.length} times: ${row.applications.map(({ how, turnId }) => `${how} ${turnId}`).join(', ')}`,
  );
  const [application] = row.applications;
  // A retry is of a turn, and gives nothing that it had been given again.
  expect(
    application === undefined || application.how === 'steered' || application.attempt === 1,
    () => `${whose(row)} was applied by attempt ${application?.attempt}`,
  );
  expect(
    application === undefined || row.state === 'applied',
    () => `${whose(row)} was applied, and is ${row.state} (${row.reason})`,
  );
  for (const { earlyMs } of row.expiries)
    expect(earlyMs <= CLOCK_SLACK_MS, () => `${whose(row)} expired ${earlyMs} ms before its time`);
  let sending = 1;
  for (const resend of row.resends) {
    const due = sending + 1;
    expect(
      resend.sending === due,
      () => `${whose(row)} was sent for the ${resend.sending}th time after the ${due - 1}th`,
    );
    sending = resend.sending;
    expect(
      resend.before === 'failed' || resend.before === 'expired',
      () => `${whose(row)} was sent again when it was ${resend.before}`,
    );
    const wasAsked = actsOf(evidence, 'resend').some(
      (each) =>
        each.conversationId === conversationId &&
        each.act.messageId === row.messageId &&
        each.sentAtMs <= resend.atMs + CLOCK_SLACK_MS,
    );
    expect(wasAsked, () => `${whose(row)} was sent again, and nobody had asked for it`);
  }
}

/** 2: a person who stopped everything has stopped everything. */
function checkWaiting(court: Court, mailbox: Mailbox, row: Row): void {
  const { events, evidence } = mailbox.known;
  const receiptOf = ({ requestIds }: Row): number =>
    events.find(({ type, requestId }) => RECEIPTS.has(type) && requestIds.includes(requestId ?? ''))
      ?.seq ?? Infinity;
  const [application] = row.applications;
  if (!row.waits || row.sending > 1 || application === undefined) return;
  const taken = receiptOf(row);
  // An end may be settled only when the row is there.
  const afterEnd = events.some(
    (event) =>
      event.seq < taken &&
      event.attempt !== undefined &&
      event.type in OUTCOME_OF &&
      event.type !== 'chat.cancelled' &&
      Date.parse(event.at) >= row.atMs - SETTLED_WITHIN_MS,
  );
  const along = [...mailbox.rows.values()].some((other) => {
    const got = receiptOf(other);
    return !other.waits && other.seq < taken && got > row.seq && got !== Infinity;
  });
  court.expect('M1', afterEnd || along, () => ({
    what: `${whose(row)} waits for a turn that ends well, and was taken by ${evidence.conversationId} before there was one`,
    ...rowPlace(mailbox, row),
  }));
}

/** 2: messages that say which mail they are, and what they say. */
function checkTold(court: Court, team: Team, mailbox: Mailbox): void {
  const { known, rows, told } = mailbox;
  for (const row of rows.values()) {
    const tellings = told.filter(({ marks }) => marks.some(isOf(row)));
    const [application] = row.applications;
    const own = row.coveredBy === null ? row.applications.length : 0;
    court.expect('M1', tellings.length === own, () => ({
      what: `${whose(row)} is ${tellings.length} times in the transcript of ${known.evidence.conversationId}, and was applied ${own === 0 && row.applications.length > 0 ? `with ${row.coveredBy}` : `${own} times`}`,
      ...rowPlace(
        mailbox,
        row,
        tellings.map(({ seq }) => seq),
      ),
    }));
    const [telling] = tellings;
    if (application === undefined || telling === undefined) continue;
    court.expect(
      'M1',
      telling.turnId === application.turnId &&
        (telling.attempt === null) === (application.how !== 'steered'),
      () => ({
        what: `${whose(row)} was applied by turn ${application.turnId} (${application.how}), and its text is in turn ${telling.turnId}`,
        ...rowPlace(mailbox, row, [telling.seq]),
      }),
    );
  }
  for (const message of told) checkText(court, team, mailbox, message);
}

/** The pieces of a message, each under its heading, and nothing else. */
function checkText(court: Court, team: Team, mailbox: Mailbox, message: Told): void {
  const { known, rows } = mailbox;
  const { seq, marks, content, turnId } = message;
  const place = (): Place => at(known, [seq], turnId);
  const inMark = marks.map((mark) => rows.get(rowKey(mark.from, mark.messageId)));
  for (const [index, mark] of marks.entries())
    court.expect('M1', inMark[index]?.kind === mark.kind, () => ({
      what: `a message of turn ${turnId} is marked as mail ${mark.messageId} (${mark.kind}) from ${mark.from}, which is ${inMark[index]?.kind ?? 'no row of the mailbox'}`,
      ...place(),
    }));
  const isAlone = marks.length === 1 || message.attempt === null;
  court.expect('M1', isAlone, () => ({
    what: `${marks.length} rows of mail were taken in by turn ${turnId} as one message`,
    ...place(),
  }));
  court.expect('M1', marks.length === 1 || inMark.every((row) => row?.kind !== 'task'), () => ({
    what: `the task of ${known.evidence.conversationId} was given together with other mail`,
    ...place(),
  }));
  let rest = content;
  for (const [index, row] of inMark.entries()) {
    if (row === undefined) return;
    if (index > 0) {
      const parted = rest.startsWith('\n\n');
      court.expect('M1', parted, () => ({
        what: `${whose(row)} is not set apart from the mail before it: ${JSON.stringify(rest.slice(0, 60))}`,
        ...place(),
      }));
      if (!parted) return;
      rest = rest.slice(2);
    }
    if (row.kind !== 'task') {
      const end = rest.indexOf('\n');
      const heading = end === -1 ? rest : rest.slice(0, end);
      const sender = team.members.get(row.from ?? '');
      const name = sender === undefined ? '' : agentIdOf(sender);
      court.expect('M1', heading.startsWith(HEADING) && heading.includes(name), () => ({
        what: `${whose(row)} is given without the name of ${name}: ${JSON.stringify(heading)}`,
        ...place(),
      }));
      rest = end === -1 ? '' : rest.slice(end + 1);
    }
    const whole = rest.startsWith(row.content);
    court.expect('M1', whole, () => ({
      what: `${whose(row)} was given with another text than it has: ${JSON.stringify(rest.slice(0, 80))}`,
      ...place(),
    }));
    if (!whole) return;
    rest = rest.slice(row.content.length);
  }
  court.expect('M1', rest === '', () => ({
    what: `more was given than the mail of its marks: ${JSON.stringify(rest.slice(0, 80))}`,
    ...place(),
  }));
}

/** 3. */
function checkOrder(court: Court, mailbox: Mailbox): void {
  const inTurn = (row: Row): boolean =>
    row.kind !== 'recovery' &&
    row.kind !== 'task' &&
    row.whenBusy === 'queue' &&
    !row.waits &&
    row.boot === null &&
    row.sending === 1 &&
    !row.wasHeld &&
    row.coveredBy === null &&
    row.applications.length === 1;
  const bySender = Map.groupBy(
    [...mailbox.rows.values()].filter((row) => inTurn(row)),
    ({ from }) => from,
  );
  for (const rows of bySender.values())
    for (const [index, row] of rows.entries()) {
      const before = rows[index - 1];
      if (before === undefined) continue;
      const seqOf = ({ applications }: Row): number => applications[0]?.seq ?? 0;
      court.expect('M1', seqOf(before) < seqOf(row), () => ({
        what: `${whose(row)} was applied before ${before.messageId}, which was accepted earlier (mailbox of ${mailbox.known.evidence.conversationId})`,
        ...rowPlace(mailbox, row, [before.seq, seqOf(before)]),
      }));
    }
}

/** The turn of a child's task; null: none has begun. */
export function taskTurnOf({ link, mailbox }: Member): string | null {
  const task = mailbox.rows.get(rowKey(link?.parentId ?? null, 'task'));
  return task?.applications[0]?.turnId ?? null;
}

function endsOf(
  known: Known,
  turnId: string | null,
): { attempt: Attempt; end: Attempt['ends'][number] }[] {
  return [...known.attempts.values()].flatMap((attempt) => {
    const [end] = attempt.ends;
    return attempt.turnId === turnId && end !== undefined ? [{ attempt, end }] : [];
  });
}

const endRow = (turnId: string, attempt: number): string => `end-${turnId}-${attempt}`;

/** 4: this child's ends, in its parent's mailbox. */
function checkEnds(court: Court, team: Team, child: Member): void {
  const { known, link } = child;
  const childId = known.evidence.conversationId;
  const parent = team.members.get(link?.parentId ?? '');
  const orders = ordersOf(known);
  for (const { attempt, end } of endsOf(known, taskTurnOf(child))) {
    const name = attemptKey(attempt.turnId, attempt.attempt);
    const outcome = OUTCOME_OF[end.type];
    const row = parent?.mailbox.rows.get(rowKey(childId, endRow(attempt.turnId, attempt.attempt)));
    const place = (): Place => at(known, [attempt.startSeq, end.seq], attempt.turnId);
    court.expect('M1', row !== undefined, () => ({
      what: `attempt ${name} of the task of ${childId} ended (${outcome}), and its parent ${link?.parentId} has no row of it`,
      ...place(),
    }));
    if (row === undefined || parent === undefined) continue;
    const kind = outcome === 'completed' ? 'result' : 'error';
    court.expect('M1', row.kind === kind && row.outcome === outcome, () => ({
      what: `attempt ${name} of the task of ${childId} ended ${outcome}, and its parent's row says ${row.kind} (${row.outcome})`,
      ...rowPlace(parent.mailbox, row),
    }));
    const text = [...attempt.segments.values()]
      .filter((segment) => segment.kind === 'text')
      .map((segment) => segment.text)
      .join('');
    if (Buffer.byteLength(text) <= WHOLE_BYTES && text.trim() !== '')
      court.expect('M1', row.content.includes(text), () => ({
        what: `what ${childId} said in attempt ${name} is not in its parent's row`,
        ...rowPlace(parent.mailbox, row),
      }));
    const byCascade = end.type === 'chat.cancelled' && end.cause === 'cascade';
    court.expect('M1', row.waits === byCascade, () => ({
      what: `attempt ${name} of the task of ${childId} ended ${outcome} by ${end.cause}, and its row ${row.waits ? 'waits' : 'does not wait'}`,
      ...rowPlace(parent.mailbox, row),
    }));
    const event = known.events.find(({ seq }) => seq === end.seq);
    const boot = event?.type === 'chat.interrupted' ? (event.payload.boot ?? null) : null;
    court.expect('M1', row.boot === boot, () => ({
      what: `attempt ${name} of the task of ${childId} was ended by boot ${boot}, and its row says ${row.boot}`,
      ...rowPlace(parent.mailbox, row),
    }));
    // Writers are serialised: what one transaction writes stands together, and nothing of another conversation is in between.
    const order = orders.get(end.seq) ?? Infinity;
    const between = [...team.members.values()].some(
      (other) =>
        other !== child &&
        other !== parent &&
        other.known.evidence.epochs.some((each) => order < each.order && each.order < row.order),
    );
    court.expect('M1', order < row.order && !between, () => ({
      what: `the end of attempt ${name} of ${childId} (place ${order}) and its parent's row (${row.order}) are not of one commit`,
      ...rowPlace(parent.mailbox, row),
    }));
  }
}

/** 4: every row that says how a task ended is of an attempt that has. */
function checkOthersEnds(court: Court, team: Team): void {
  for (const { mailbox, known } of team.members.values())
    for (const row of mailbox.rows.values()) {
      if (row.kind !== 'result' && row.kind !== 'error') continue;
      const child = team.members.get(row.from ?? '');
      const isChild = child?.link?.parentId === known.evidence.conversationId;
      const turnId = child === undefined ? null : taskTurnOf(child);
      const isEnd =
        child !== undefined &&
        endsOf(child.known, turnId).some(
          ({ attempt }) => endRow(attempt.turnId, attempt.attempt) === row.messageId,
        );
      court.expect('M1', isChild && isEnd, () => ({
        what: `${whose(row)} tells ${known.evidence.conversationId} of an end (${row.outcome}) that is none of a task of a child of its`,
        ...rowPlace(mailbox, row),
      }));
    }
}

/** 5: what an agent begins with. */
function checkBeginning(
  court: Court,
  team: Team,
  member: Member,
  given: { asked: readonly Asked[]; evidence: Evidence },
): void {
  const { known, link, mailbox } = member;
  if (link === null) return;
  const childId = known.evidence.conversationId;
  const place = (): Place => at(known, [1, 2]);
  const orders = ordersOf(known);
  const parent = team.members.get(link.parentId);
  const task = mailbox.rows.get(rowKey(link.parentId, 'task'));
  const created = known.events.filter(({ type }) => type === 'conversation.created');
  court.expect('M1', created.length === 1 && created[0]?.seq === 1, () => ({
    what: `agent ${link.agentId} (${childId}) was created ${created.length} times`,
    ...place(),
  }));
  court.expect('M1', parent !== undefined && link.depth === (parent.link?.depth ?? 0) + 1, () => ({
    what: `agent ${link.agentId} is a child of ${link.parentId}, which is ${parent === undefined ? 'not of its team' : `of depth ${parent.link?.depth ?? 0}`}, and says it is of depth ${link.depth}`,
    ...place(),
  }));
  const first = parent?.known.evidence.epochs[0]?.order ?? Infinity;
  court.expect('M1', first < (orders.get(1) ?? 0), () => ({
    what: `agent ${link.agentId} was there before its parent`,
    ...place(),
  }));
  const twin = [...team.members.values()].find(
    (other) => other !== member && agentIdOf(other) === link.agentId,
  );
  court.expect('M1', twin === undefined && link.agentId !== 'root', () => ({
    what: `two of team ${team.rootId} are called ${link.agentId}`,
    ...place(),
  }));
  const content = task?.content ?? null;
  const byScript = given.asked.some(
    (each) =>
      each.do === 'spawn' &&
      each.by === link.parentId &&
      each.agentId === link.agentId &&
      each.content === content,
  );
  const byClient = actsOf(given.evidence, 'spawn').some(
    (each) =>
      each.conversationId === link.parentId &&
      each.refusal === null &&
      each.act.agentId === link.agentId &&
      each.act.name === link.name &&
      each.act.role === link.role &&
      each.act.content === content,
  );
  court.expect('M1', byScript || byClient, () => ({
    what: `agent ${link.agentId} was made for ${link.parentId} with ${content === null ? 'no task' : `the task ${JSON.stringify(content.slice(0, 60))}`}, and nobody had asked for that`,
    ...place(),
  }));
  if (task !== undefined)
    court.expect('M1', task.seq === 2 && task.order - (orders.get(1) ?? 0) <= 2, () => ({
      what: `agent ${link.agentId} was there (place ${orders.get(1)}) before its task (${task.order})`,
      ...place(),
    }));
}

/** 5: nothing is in a mailbox that nobody has sent. */
function checkSender(
  court: Court,
  team: Team,
  member: Member,
  row: Row,
  given: { asked: readonly Asked[]; evidence: Evidence },
): void {
  const { mailbox, link, known } = member;
  const receiver = known.evidence.conversationId;
  const expect = (holds: boolean, what: () => string): void =>
    court.expect('M1', holds, () => ({ what: what(), ...rowPlace(mailbox, row) }));
  if (row.kind === 'task') {
    expect(
      link !== null && row.from === link.parentId && row.messageId === 'task',
      () => `${whose(row)} is a task of ${receiver}, and not its parent's`,
    );
    return;
  }
  if (row.kind !== 'message') return;
  const sender = team.members.get(row.from ?? '');
  expect(
    sender !== undefined && sender !== member,
    () => `${whose(row)} is in the mailbox of ${receiver}, and ${row.from} is none of its team`,
  );
  const names = [agentIdOf(member), receiver];
  const byClient = actsOf(given.evidence, 'mail').some(
    (each) =>
      each.conversationId === row.from &&
      each.refusal === null &&
      each.act.messageId === row.messageId &&
      names.includes(each.act.to) &&
      each.act.content === row.content &&
      each.act.whenBusy === row.whenBusy &&
      each.sentAtMs <= row.atMs + CLOCK_SLACK_MS,
  );
  const said = given.asked.filter(
    (each) =>
      each.do === 'tell' &&
      each.by === row.from &&
      names.includes(each.to) &&
      each.content === row.content,
  );
  expect(
    byClient || said.length > 0,
    () => `${whose(row)} is in the mailbox of ${receiver}, and nobody has sent that`,
  );
  if (byClient) return;
  // Each time that the script ran it was said once.
  const times = said.reduce(
    (sum, { attempts }) =>
      sum + attempts.filter(({ startedMs }) => startedMs <= row.atMs + CLOCK_SLACK_MS).length,
    0,
  );
  const rows = [...mailbox.rows.values()].filter(
    (other) => other.kind === 'message' && other.from === row.from && other.content === row.content,
  );
  expect(
    rows.findIndex((other) => other === row) < times,
    () =>
      `${JSON.stringify(row.content.slice(0, 60))} is ${rows.length} times in the mailbox of ${receiver}; the script of ${row.from} that says it ran ${times} times`,
  );
}

/** 5: what was answered, and what had to be refused. */
function checkAnswers(court: Court, { teams, evidence }: Given): void {
  const members = new Map(teams.flatMap((team) => [...team.members]));
  const teamOf = new Map(
    teams.flatMap((team) => [...team.members.keys()].map((id) => [id, team] as const)),
  );
  for (const asked of evidence.agentActs) {
    const { act, answer, conversationId, refusal } = asked;
    const place = (): Place => ({
      conversationId,
      excerpt: [JSON.stringify({ ...asked, row: undefined }).slice(0, 600)],
    });
    if (refusal !== null)
      court.expect(
        'M1',
        answer.is === 'unknown' ||
          (answer.is === 'refused' && (answer.code === refusal || answer.code === 'storage_full')),
        () => ({
          what: `${act.do} was to be refused with ${refusal}, and was answered ${JSON.stringify(answer)}`,
          ...place(),
        }),
      );
  }
  for (const asked of actsOf(evidence, 'spawn')) checkSpawned(court, asked, members, teamOf);
  for (const asked of actsOf(evidence, 'mail')) checkSent(court, asked, members, teamOf, evidence);
  checkRepeats(court, evidence);
  for (const asked of actsOf(evidence, 'resend')) {
    if (asked.answer.is !== 'done') continue;
    const rows = [...(members.get(asked.conversationId)?.mailbox.rows.values() ?? [])];
    const { messageId, from } = asked.act;
    const row = rows.find((each) => {
      const sender = members.get(each.from ?? '');
      const isFrom = from === null || (sender !== undefined && agentIdOf(sender) === from);
      return each.messageId === messageId && isFrom;
    });
    court.expect('M1', (row?.resends.length ?? 0) > 0, () => ({
      what: `${asked.act.messageId} was to be sent again, which was answered as done, and it was not`,
      conversationId: asked.conversationId,
      excerpt: [JSON.stringify(asked)],
    }));
  }
}

function checkSpawned(
  court: Court,
  { act, answer, conversationId, childId }: ActOf<'spawn'>,
  members: ReadonlyMap<string, Member>,
  teamOf: ReadonlyMap<string, Team>,
): void {
  if (answer.is !== 'done') return;
  const child = members.get(childId ?? '');
  const task = child?.mailbox.rows.get(rowKey(conversationId, 'task'));
  const place = (): Place => ({ conversationId, excerpt: [JSON.stringify(act).slice(0, 400)] });
  court.expect(
    'M1',
    child !== undefined &&
      child.link?.agentId === act.agentId &&
      child.link.parentId === conversationId &&
      teamOf.get(conversationId) === teamOf.get(childId ?? ''),
    () => ({
      what: `${conversationId} was answered that its agent ${act.agentId} is ${childId}, which is ${child === undefined ? 'not there' : `agent ${child.link?.agentId} of ${child.link?.parentId}`}`,
      ...place(),
    }),
  );
  court.expect('M1', child === undefined || (task?.content ?? null) === act.content, () => ({
    what: `agent ${act.agentId} was answered as made, and its task is ${task === undefined ? 'not there' : 'another one'}`,
    ...place(),
  }));
}

function checkSent(
  court: Court,
  { act, answer, conversationId, row, answeredAtMs }: ActOf<'mail'>,
  members: ReadonlyMap<string, Member>,
  teamOf: ReadonlyMap<string, Team>,
  evidence: Evidence,
): void {
  const { messageId } = act;
  const ofTeam = [...(teamOf.get(conversationId)?.members.values() ?? [])];
  const receiver = members.get(act.to) ?? ofTeam.find((member) => agentIdOf(member) === act.to);
  const found = receiver?.mailbox.rows.get(rowKey(conversationId, messageId));
  const place = (): Place => ({ conversationId, excerpt: [JSON.stringify(act).slice(0, 400)] });
  if (answer.is === 'done' || answer.is === 'accepted') {
    court.expect('M1', found !== undefined, () => ({
      what: `message ${messageId} to ${act.to} was answered as ${answer.is}, and is in no mailbox`,
      ...place(),
    }));
    const receiverId = receiver?.known.evidence.conversationId ?? '';
    const requestId = mailRequestId({ from: conversationId, messageId, sending: 1 });
    const firstMs = Math.min(
      ...evidence.signals
        .filter((signal) => signal.conversationId === receiverId && signal.requestId === requestId)
        .map(({ atMs }) => atMs),
    );
    court.expect('A3', firstMs <= answeredAtMs + CLOCK_SLACK_MS, () => ({
      what: `message ${messageId} to ${act.to} was answered as ${answer.is}, and Temporal had no signal of it by then`,
      ...place(),
    }));
  }
  // What it was answered with was true of it at some time.
  if (answer.is === 'done' && found?.sending === 1) {
    const differs = firstDifference(
      {
        messageId: row?.messageId,
        content: row?.content,
        kind: row?.kind,
        acceptedAt: row?.acceptedAt,
      },
      { messageId, content: act.content, kind: 'message', acceptedAt: found.acceptedAt },
    );
    court.expect('M1', differs === null, () => ({
      what: `message ${messageId} to ${act.to} was answered with another row: ${differs}`,
      ...place(),
    }));
  }
}

/** 5: what an agent's own tool was answered. */
function checkTools(court: Court, team: Team, { known }: Member): void {
  const by = known.evidence.conversationId;
  const begun = new Map<string, Extract<Event, { type: 'tool.start' }>>();
  for (const event of known.events) {
    if (event.type !== 'tool.start' && event.type !== 'tool.end') continue;
    const key = `${event.turnId}.${event.attempt} ${event.payload.toolCallId}`;
    if (event.type === 'tool.start') {
      begun.set(key, event);
      continue;
    }
    const { name = '', input } = begun.get(key)?.payload ?? {};
    if (event.payload.status !== 'ok') continue;
    const given = input as Record<string, string>;
    const place = (): Place => at(known, [event.seq], event.turnId);
    if (name === 'spawn_agent') {
      const child = [...team.members.values()].find(
        (member) => member.link !== null && agentIdOf(member) === given['agent_id'],
      );
      const task = child?.mailbox.rows.get(rowKey(by, 'task'));
      court.expect('M1', task?.content === given['prompt'], () => ({
        what: `${by} was answered that agent ${given['agent_id']} is made, and ${child === undefined ? 'it is not there' : 'its task is another one'}`,
        ...place(),
      }));
    } else if (name === 'send_message') {
      const receiver = [...team.members.values()].find(
        (member) => agentIdOf(member) === given['to'],
      );
      const row = receiver?.mailbox.rows.get(rowKey(by, given['message_id'] ?? ''));
      court.expect('M1', row?.content === given['content'], () => ({
        what: `${by} was answered that its message to ${given['to']} is sent, and it is in no mailbox, or another one is`,
        ...place(),
      }));
    }
  }
}

/** A repeat of the same is answered as the first was; with other content it is refused. */
function checkRepeats(court: Court, evidence: Evidence): void {
  const named = evidence.agentActs.filter(
    ({ act, refusal }) => 'content' in act && refusal === null,
  );
  const groups = Map.groupBy(named, ({ act, conversationId, rootId }) =>
    act.do === 'spawn'
      ? `spawn ${rootId} ${act.agentId}`
      : act.do === 'mail'
        ? `mail ${conversationId} ${act.messageId} ${act.to}`
        : '',
  );
  const facts = ({ act, conversationId }: (typeof named)[number]): string =>
    JSON.stringify([conversationId, act]);
  for (const group of groups.values()) {
    const [first] = group
      .filter(({ answer }) => answer.is === 'done')
      .toSorted((a, b) => a.answeredAtMs - b.answeredAtMs);
    if (first === undefined) continue;
    for (const later of group.filter(({ sentAtMs }) => sentAtMs > first.answeredAtMs)) {
      const { answer } = later;
      if (answer.is === 'unknown') continue;
      const isSame = facts(later) === facts(first);
      const place = (): Place => ({
        conversationId: later.conversationId,
        excerpt: [first, later].map((each) => JSON.stringify(each).slice(0, 500)),
      });
      if (answer.is === 'refused' && answer.code === 'storage_full') continue;
      court.expect('M1', isSame === (answer.is !== 'refused'), () => ({
        what: `${later.act.do} was asked for again ${isSame ? 'as before' : 'with something else'}, and answered ${JSON.stringify(answer)}`,
        ...place(),
      }));
      if (!isSame && answer.is === 'refused')
        court.expect('M1', answer.code === 'request_id_reused', () => ({
          what: `${later.act.do} with something else under the same name was refused with ${answer.code}`,
          ...place(),
        }));
      court.expect('M1', !isSame || later.childId === first.childId, () => ({
        what: `spawn was asked for again, and answered with ${later.childId} in the place of ${first.childId}`,
        ...place(),
      }));
    }
  }
}

/** 6: mailboxes as they are read, by the receiver and by the senders. */
function checkReading(court: Court, team: Team): void {
  if (team.evidence === null) return;
  const names = new Map([...team.members].map(([id, member]) => [id, agentIdOf(member)]));
  for (const [conversationId, { mailbox }] of team.members) {
    const read = team.evidence.mailboxes.find((each) => each.conversationId === conversationId);
    const place = (): Place => ({ conversationId, excerpt: [] });
    const wanted = [...mailbox.rows.values()];
    court.expect(
      'M1',
      read?.rows
        .map(({ fromConversationId, messageId }) => rowKey(fromConversationId, messageId))
        .join() === wanted.map(({ from, messageId }) => rowKey(from, messageId)).join(),
      () => ({
        what: `the mailbox of ${conversationId} has ${read?.rows.length} rows, or others, or in another order, than the ${wanted.length} of its log`,
        ...place(),
      }),
    );
    for (const row of wanted) {
      const got = read?.rows.find(isRow(row));
      if (got === undefined) continue;
      const facts = factsOf(row, names, conversationId);
      const differs = firstDifference(
        Object.fromEntries(
          Object.keys(facts).map((name) => [name, Reflect.get(got, name) as unknown]),
        ),
        facts,
      );
      court.expect('M1', differs === null, () => ({
        what: `${whose(row)} is otherwise in the mailbox of ${conversationId} than its log says: ${differs}`,
        ...rowPlace(mailbox, row, row.reasonSeq === null ? [] : [row.reasonSeq]),
      }));
    }
    const sent = [...team.members.values()].flatMap((other) =>
      [...other.mailbox.rows.values()]
        .filter(({ from }) => from === conversationId)
        .map(({ messageId }) => `${other.known.evidence.conversationId} ${messageId}`),
    );
    const told = read?.sent.map(
      ({ toConversationId, messageId }) => `${toConversationId} ${messageId}`,
    );
    court.expect('M1', told?.toSorted().join() === sent.toSorted().join(), () => ({
      what: `${conversationId} has sent ${sent.length} rows, and is told of ${told?.length}, or of others`,
      ...place(),
    }));
  }
}

const isRow =
  ({ from, messageId }: Row) =>
  (row: MailRowValue): boolean =>
    row.messageId === messageId && row.fromConversationId === from;

/** What must be read of a row. */
function factsOf(
  row: Row,
  names: ReadonlyMap<string, string>,
  receiver: string,
): Partial<Record<keyof MailRowValue, unknown>> {
  return {
    from: row.from === null ? null : (names.get(row.from) ?? row.from),
    to: names.get(receiver),
    kind: row.kind,
    content: row.content,
    outcome: row.outcome ?? undefined,
    state: row.state,
    acceptedAt: row.acceptedAt,
    coveredBy: row.coveredBy ?? undefined,
    ...(row.state === 'failed' || row.state === 'expired' ? { reason: row.reason } : {}),
    ...(row.state === 'applied' ? { turnId: row.applications[0]?.turnId } : {}),
  };
}

/** No mail is given to who is in no team. */
function checkNotInTeams(court: Court, { teams }: Given, all: readonly Known[]): void {
  const inTeams = new Set(teams.flatMap((team) => [...team.members.keys()]));
  for (const known of all) {
    const { conversationId } = known.evidence;
    if (inTeams.has(conversationId)) continue;
    const mail = known.events.find(({ type }) => type.startsWith('mail.'));
    court.expect('M1', mail === undefined, () => ({
      what: `${conversationId} is in no team, and has mail`,
      ...at(known, [mail?.seq ?? 0]),
    }));
  }
}
