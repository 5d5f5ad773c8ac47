/**
 * The checker: pure. It is given what a run recorded and says what contradicts an invariant of design.md section 12.
 *
 * It believes nothing that the engine says of itself: texts are worked out from the scripts (script.ts), the log is the
 * one that a watcher read while it grew, receipts are those that clients were told.
 */
import type { Event } from '../../src/contracts/events.ts';
import { attemptKey, conversationStream, parseAttemptKey } from '../../src/contracts/ids.ts';
import { CANCEL_GRACE_MS, QUEUE_LIMIT, TERM_GRACE_MS } from '../../src/contracts/limits.ts';
import type { ConversationViewValue, MessageViewValue } from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import {
  at,
  type Attempt,
  CLOCK_SLACK_MS,
  contentTaken,
  Court,
  excerpt,
  firstDifference,
  type Known,
  type LoggedReceipt,
  OUTCOME_OF,
  type Place,
  readLog,
  receiptsOf,
  streamOf,
  type Verdict,
  type Violation,
} from './court.ts';
import type { CommandRecord, Evidence, Fault, LogEntry, SpoolTurn } from './evidence.ts';
import { checkActs, checkHistory, checkTold } from './history-rules.ts';
import { checkMail } from './mail-rules.ts';
import { checkQueue } from './queue-rules.ts';
import { checkRecovery } from './recovery-rules.ts';
import { expectationOf, fitsText } from './script.ts';
import { checkClient, checkLog, checkRereads } from './stream-rules.ts';
import { checkAlone, checkTable } from './table-rules.ts';
import { teamsOf, withCascades } from './team-log.ts';
import { checkTree } from './team-rules.ts';
import { checkTriggers, withTriggerSends } from './trigger-rules.ts';

/** Bounds of W2: twice what is allowed after a start. A run holds many sockets and adopts many spools, but no heap may grow. */
const MOST_RESIDENT_MB: Readonly<Record<string, number>> = {
  gateway: 300,
  'turn-host': 320,
  worker: 440,
  supervisor: 200,
};
const MOST_DESCRIPTORS = 600;
/** An event's `at` is that of its commit: on a busy disk so much after the engine heard of it. */
const COMMIT_MS = 1_000;
/** From the first to the last step of a cancel that is ignored. */
const LADDER_MS = CANCEL_GRACE_MS + TERM_GRACE_MS;

export function check(recorded: Evidence): Verdict {
  const court = new Court();
  const all = recorded.conversations.map((conversation) => readLog(conversation));
  const teams = teamsOf(all, recorded);
  const evidence = withCascades(withTriggerSends(recorded), teams);
  for (const known of all) {
    const { conversationId, view } = known.evidence;
    const stream = streamOf(known);
    checkLog(court, stream);
    checkRereads(court, stream);
    checkWaitForRoom(court, known, evidence);
    checkEpochs(court, known);
    checkAttempts(court, known, evidence);
    checkCommands(court, known, evidence);
    checkQueue(court, known, evidence);
    checkTexts(court, known, evidence);
    checkTranscript(court, known);
    checkHistory(court, known, evidence);
    checkTold(court, known, evidence);
    checkAlone(court, known, evidence);
    for (const client of evidence.clients)
      if (client.stream === conversationStream(conversationId))
        checkClient(court, stream, client, (entry) => {
          if (entry.is === 'snapshot')
            checkView(court, known, entry.view, `a snapshot of ${client.client}`);
        });
    checkView(court, known, view, 'the last snapshot');
  }
  checkActs(court, all, evidence);
  for (const table of evidence.tables) checkTable(court, table, all, evidence);
  checkTriggers(court, all, evidence);
  checkMail({ court, teams, all, evidence });
  checkRecovery(court, teams);
  checkTree(court, teams, evidence);
  checkProcesses(court, evidence);
  checkHealth(court, evidence);
  return { violations: court.violations, checked: court.checked };
}

/** Q2: an attempt that begins on a full disk waits until there is room, and says so once. */
function checkWaitForRoom(court: Court, known: Known, evidence: Evidence): void {
  const told = new Map<string, number>();
  for (const event of known.events) {
    const { turnId, attempt, seq } = event;
    if (event.type !== 'notice' || event.payload.code !== 'storage_full') continue;
    if (turnId === undefined || attempt === undefined) continue;
    const key = attemptKey(turnId, attempt);
    const before = told.get(key);
    court.expect('Q2', before === undefined, () => ({
      what: `attempt ${key} was told twice that it waits for room`,
      ...at(known, [before ?? seq, seq], turnId),
    }));
    told.set(key, seq);
    const toldAtMs = Date.parse(event.at);
    const full = evidence.faults.find(
      ({ fault, atMs, forMs }) => fault === 'fill' && atMs <= toldAtMs && toldAtMs < atMs + forMs,
    );
    if (full === undefined) continue;
    const roomAtMs = full.atMs + full.forMs;
    for (const { attemptKey: of, begunAtMs } of evidence.spools)
      if (of === key && begunAtMs !== null)
        court.expect('Q2', begunAtMs >= roomAtMs - CLOCK_SLACK_MS, () => ({
          what: `attempt ${key} was told to wait for room, and was given its prompt ${roomAtMs - begunAtMs} ms before there was any`,
          ...at(known, [seq], turnId),
        }));
  }
}

/** F1: the epochs in the order of the log. */
function checkEpochs(court: Court, known: Known): void {
  let highest = { seq: 0, epoch: 0 };
  for (const { seq, epoch } of known.evidence.epochs) {
    if (epoch === null) continue;
    const before = highest;
    court.expect('F1', epoch >= before.epoch, () => ({
      what: `event ${seq} was appended under epoch ${epoch}, after event ${before.seq} under ${before.epoch}`,
      ...at(known, [before.seq, seq]),
    }));
    if (epoch >= before.epoch) highest = { seq, epoch };
  }
  let attached = 0;
  for (const event of known.events) {
    if (event.type !== 'chat.attached') continue;
    const before = attached;
    court.expect('F1', event.payload.epoch > before, () => ({
      what: `chat.attached with epoch ${event.payload.epoch}, after ${before}`,
      ...at(known, [event.seq]),
    }));
    attached = event.payload.epoch;
  }
}

/** A1 (one end), S1, C1, C2, and that nothing follows an end. */
function checkAttempts(court: Court, known: Known, evidence: Evidence): void {
  let running: Attempt | null = null;
  for (const attempt of [...known.attempts.values()].toSorted((a, b) => a.startSeq - b.startSeq)) {
    const { turnId, ends, startSeq } = attempt;
    const name = attemptKey(turnId, attempt.attempt);
    const endSeqs = ends.map(({ seq }) => seq);
    court.expect('A1', ends.length === 1, () => ({
      what:
        ends.length === 0
          ? `attempt ${name} has no end`
          : `attempt ${name} has ${ends.length} ends: ${ends.map(({ type }) => type).join(', ')}`,
      ...at(known, [startSeq, ...endSeqs], turnId),
    }));
    const last = attempt.lastOutput;
    const firstEnd = ends[0];
    court.expect('P3', last === null || firstEnd === undefined || last.seq < firstEnd.seq, () => ({
      what: `${last?.type} after the end (${firstEnd?.type}) of attempt ${name}`,
      ...at(known, [firstEnd?.seq ?? 0, last?.seq ?? 0], turnId),
    }));
    const before: Attempt | null = running;
    const beforeEnd = before?.ends[0]?.seq ?? Infinity;
    court.expect('S1', before === null || beforeEnd < startSeq, () => ({
      what: `attempt ${name} started while ${before?.turnId} was running`,
      ...at(known, [before?.startSeq ?? 0, startSeq], turnId),
    }));
    running = attempt;
    if (firstEnd !== undefined) {
      checkCancel(court, known, evidence, attempt, firstEnd);
      checkSilence(court, known, evidence, attempt, firstEnd);
    }
    checkStored(court, known, attempt);
  }
}

function checkCancel(
  court: Court,
  known: Known,
  evidence: Evidence,
  attempt: Attempt,
  end: Attempt['ends'][number],
): void {
  const { turnId, cancelRequests, ends, startAtMs } = attempt;
  const name = attemptKey(turnId, attempt.attempt);
  const kinds = new Set(ends.map(({ type }) => type));
  court.expect('C1', !(kinds.has('chat.done') && kinds.has('chat.cancelled')), () => ({
    what: `attempt ${name} is done and cancelled`,
    ...at(
      known,
      ends.map(({ seq }) => seq),
      turnId,
    ),
  }));
  // Only what runs the turn can change how a cancel ends.
  const hit = evidence.faults.some(
    ({ role, conversationId, atMs }) =>
      (role === 'turn-host' ||
        role === 'supervisor' ||
        (role === 'provider' && conversationId === known.evidence.conversationId)) &&
      atMs >= startAtMs - 1_000 &&
      atMs <= end.atMs + 1_000,
  );
  const asked = cancelRequests[0];
  const natural = expected(attempt.content)?.end;
  if (asked !== undefined && !hit)
    court.expect(
      'C1',
      end.type === 'chat.cancelled' ||
        end.type === 'chat.done' ||
        (end.type === 'chat.error' && natural === 'failed') ||
        // Asked for when it was being stopped already.
        (end.cause === 'stalled' && (attempt.stoppingSeq ?? Infinity) < asked.seq) ||
        (end.type === 'chat.interrupted' && natural === 'exits'),
      () => ({
        what: `attempt ${name} was to be cancelled and, without any fault, ended with ${end.type}`,
        ...at(known, [asked.seq, end.seq], turnId),
      }),
    );
  for (const cancel of evidence.cancels) {
    const { conversationId, doneAtMs } = cancel;
    const isOfIt = conversationId === known.evidence.conversationId && cancel.turnId === turnId;
    if (!isOfIt || doneAtMs === undefined || doneAtMs < startAtMs) continue;
    const untilMs = doneAtMs + evidence.healing.limitMs;
    court.expect('C1', end.atMs <= untilMs || (asked?.atMs ?? Infinity) <= untilMs, () => ({
      what: `a cancel of attempt ${name} was answered, and it went on for ${end.atMs - doneAtMs} ms as if nobody had asked`,
      ...at(known, [end.seq], turnId),
    }));
  }
  court.expect('C2', end.type !== 'chat.cancelled' || asked !== undefined, () => ({
    what: `attempt ${name} is cancelled, and nobody had asked for it`,
    ...at(known, [end.seq], turnId),
  }));
  for (const { seq, by, atMs } of cancelRequests) {
    const willed = evidence.cancels.some(
      (cancel) =>
        (cancel.conversationId === known.evidence.conversationId ||
          (known.tableId !== null && cancel.tableId === known.tableId)) &&
        (cancel.turnId === null || cancel.turnId === turnId) &&
        cancel.sentAtMs <= atMs + CLOCK_SLACK_MS,
    );
    court.expect('C2', willed, () => ({
      what: `attempt ${name} was cancelled by "${by}", and no client had asked for it`,
      ...at(known, [seq], turnId),
    }));
  }
}

/** Whether its process may ignore a stop: its script says so, or one before it in the same process, "from now on". */
function mayIgnoreStops(known: Known, { spools }: Evidence, name: string): boolean {
  const own = spools.find(({ attemptKey: key }) => key === name);
  const inProcess = spools
    .filter(({ spool }) => spool === own?.spool)
    .map((turn) => turn.attemptKey);
  return [name, ...inProcess].some((key) => {
    const content = known.attempts.get(key)?.content;
    return content !== undefined && expected(content)?.ignoresCancel !== false;
  });
}

/** Q1: silence ends what hangs, nothing else, and in time. */
function checkSilence(
  court: Court,
  known: Known,
  evidence: Evidence,
  attempt: Attempt,
  end: Attempt['ends'][number],
): void {
  const { turnId, quiets } = attempt;
  const { quietMs, lateMs } = evidence.silence;
  const stalledMs =
    quiets.at(-1)?.phase === 'tool-running'
      ? evidence.silence.stalledInToolMs
      : evidence.silence.stalledMs;
  // A custody that died when it had decided to stop the turn, and before it could say so, leaves that to the next one.
  const inherited =
    attempt.signBeforeTakeover !== null && end.atMs - attempt.lastSign.atMs < stalledMs - COMMIT_MS;
  const lastSign = (inherited ? attempt.signBeforeTakeover : null) ?? attempt.lastSign;
  const name = attemptKey(turnId, attempt.attempt);
  const script = expected(attempt.content);
  const hangs = script?.end === 'never';
  const where = at(known, [lastSign.seq, end.seq], turnId);
  const ofProvider = (fault: Fault): boolean =>
    fault.role === 'provider' && fault.conversationId === known.evidence.conversationId;
  const ofCustody = ({ role }: Fault): boolean => role === 'turn-host' || role === 'supervisor';
  const hitWithin = (is: (fault: Fault) => boolean, fromMs: number): boolean =>
    evidence.faults.some(
      (fault) =>
        is(fault) && fault.atMs + fault.forMs >= fromMs - 1_000 && fault.atMs <= end.atMs + 1_000,
    );
  const killed = hitWithin(
    (fault) => ofProvider(fault) && fault.fault === 'kill',
    attempt.startAtMs,
  );

  for (const quiet of quiets)
    court.expect('Q1', quiet.silentMs >= quietMs, () => ({
      what: `attempt ${name} was called quiet after ${quiet.silentMs} ms; the limit is ${quietMs}`,
      ...at(known, [quiet.seq], turnId),
    }));
  if (hangs && !killed)
    for (const quiet of quiets)
      court.expect('Q1', quiet.processAlive, () => ({
        what: `attempt ${name} was called quiet without evidence of its process, which lived`,
        ...at(known, [quiet.seq], turnId),
      }));

  const stalled = end.type === 'chat.interrupted' && end.cause === 'stalled';
  if (hangs && !killed && attempt.cancelRequests.length === 0) {
    // The turn host may die before anybody can know that the prompt arrived, and also with a stop half done.
    const unknowable =
      end.cause === 'prompt_unconfirmed' && hitWithin(ofCustody, attempt.startAtMs);
    const halfStopped =
      (end.cause === 'provider_died' || end.cause === 'provider_exited') &&
      attempt.stopped &&
      hitWithin(ofCustody, attempt.startAtMs);
    court.expect('Q1', stalled || unknowable || halfStopped, () => ({
      what: `attempt ${name} hangs, nobody cancelled it, and it ended with ${end.type} (${end.cause})`,
      ...where,
    }));
  }
  if (!stalled) return;

  const silentMs = end.atMs - lastSign.atMs;
  const stoppedMs = (is: (fault: Fault) => boolean): number =>
    evidence.faults
      .filter((fault) => fault.fault === 'stop' && is(fault))
      .map(({ atMs, forMs }) => Math.min(atMs + forMs, end.atMs) - Math.max(atMs, lastSign.atMs))
      .reduce((sum, overlapMs) => sum + Math.max(0, overlapMs), 0);
  // Half of it: the rest may be other stops' and the script's own silence.
  const stoppedLong = stoppedMs(ofProvider) >= stalledMs / 2;
  court.expect('Q1', hangs || stoppedLong, () => ({
    what: `attempt ${name} was ended as stalled; its script does not hang, and its provider was stopped for ${stoppedMs(ofProvider)} ms`,
    ...where,
  }));
  court.expect(
    'Q1',
    quiets.some(({ seq }) => seq > lastSign.seq),
    () => ({
      what: `attempt ${name} was ended as stalled, and was not called quiet before`,
      ...where,
    }),
  );
  // A commit that a stop held up is stamped late: then nothing can be said.
  const stampedLate = evidence.faults.some(
    ({ fault, atMs, forMs }) =>
      fault === 'stop' && atMs <= lastSign.atMs && lastSign.atMs <= atMs + forMs + COMMIT_MS,
  );
  if (!stampedLate)
    court.expect('Q1', silentMs >= stalledMs - COMMIT_MS, () => ({
      what: `attempt ${name} was ended as stalled ${silentMs} ms after its last output; the limit is ${stalledMs}`,
      ...where,
    }));
  // Whoever takes over starts the clock anew, and says so first; unless it finds nothing left to take over.
  const custodyDied = evidence.faults.some(
    (fault) =>
      ofCustody(fault) &&
      fault.fault === 'kill' &&
      fault.atMs > lastSign.atMs &&
      fault.atMs <= end.atMs,
  );
  if (custodyDied) return;
  // While a process stands still its clock may, and its locks are held.
  const mostMs =
    stalledMs +
    lateMs +
    (mayIgnoreStops(known, evidence, name) ? LADDER_MS : 0) +
    stoppedMs(() => true);
  court.expect('W1', silentMs <= mostMs, () => ({
    what: `attempt ${name} was ended as stalled ${silentMs} ms after its last output, and should have been within ${mostMs}`,
    ...where,
  }));
}

/** A1, in the projections: the turn's row says what the log says. */
function checkStored(court: Court, known: Known, attempt: Attempt): void {
  const { turnId } = attempt;
  const turn = known.evidence.turns.find((each) => each.turnId === turnId);
  const row = turn?.attempts.find((each) => each.attempt === attempt.attempt);
  const outcome = OUTCOME_OF[attempt.ends[0]?.type ?? ''] ?? null;
  court.expect('A1', row !== undefined && row.outcome === outcome, () => ({
    what: `attempt ${attemptKey(turnId, attempt.attempt)} ended as ${outcome} in the log, and is ${
      row === undefined ? 'not listed' : String(row.outcome)
    } among the turns`,
    ...at(known, [attempt.ends[0]?.seq ?? attempt.startSeq], turnId),
  }));
}

/** A1-A3: what clients asked for and were told, against the log. */
function checkCommands(court: Court, known: Known, evidence: Evidence): void {
  const { conversationId } = known.evidence;
  const logged = receiptsOf(known);
  const started = new Map<string, number[]>();
  for (const { type, requestId, seq } of known.events)
    if (type === 'chat.started' && requestId !== undefined)
      started.set(requestId, [...(started.get(requestId) ?? []), seq]);
  for (const [requestId, receipts] of logged) {
    const seqs = receipts.map(({ seq }) => seq);
    court.expect('A1', receipts.length === 1, () => ({
      what: `request ${requestId} has ${receipts.length} receipts`,
      ...at(known, seqs),
    }));
    const starts = started.get(requestId) ?? [];
    court.expect('A1', starts.length <= 1, () => ({
      what: `request ${requestId} was started ${starts.length} times`,
      ...at(known, starts),
    }));
    const removals = known.events.filter(
      (event) =>
        event.type === 'chat.cancelled' &&
        event.requestId === requestId &&
        event.attempt === undefined,
    );
    const taken = known.events.filter(
      (event) => event.type === 'chat.steered' && event.requestId === requestId,
    );
    // A retry that is removed from the queue, or started, is one request as any other.
    const fates = starts.length + removals.length + taken.length;
    const rejected = receipts[0]?.status === 'rejected';
    court.expect('A1', rejected || fates > 0, () => ({
      what: `request ${requestId} was queued, and never came to an end`,
      ...at(known, seqs),
    }));
    const told = [
      ...(starts.length > 0 ? ['started'] : []),
      ...removals.map(() => 'removed'),
      ...taken.map(() => 'taken in by a running turn'),
    ];
    court.expect('A1', told.length <= (rejected ? 0 : 1), () => ({
      what: `request ${requestId} has more than one fate: ${[...(rejected ? ['rejected'] : []), ...told].join(', ')}`,
      ...at(known, [
        ...seqs,
        ...starts,
        ...removals.map(({ seq }) => seq),
        ...taken.map(({ seq }) => seq),
      ]),
    }));
  }
  const commands = evidence.commands.filter((each) => each.conversationId === conversationId);
  const byRequest = Map.groupBy(commands, ({ requestId }) => requestId);
  for (const [requestId, asked] of byRequest)
    checkRequest(court, known, evidence, requestId, asked, logged.get(requestId) ?? []);
}

function checkRequest(
  court: Court,
  known: Known,
  evidence: Evidence,
  requestId: string,
  asked: readonly CommandRecord[],
  logged: readonly LoggedReceipt[],
): void {
  const { conversationId } = known.evidence;
  const receipt = logged[0];
  const said = asked.map((each) => JSON.stringify({ ...each, content: each.content.slice(0, 60) }));
  const evidenceOf = (): Pick<Violation, 'conversationId' | 'seqs' | 'excerpt'> => ({
    conversationId,
    seqs: logged.map(({ seq }) => seq),
    excerpt: [
      ...said,
      ...excerpt(
        known.evidence.log,
        logged.map(({ seq }) => seq),
      ),
    ],
  });
  const acknowledged = asked.filter(
    ({ answer }) => answer.is === 'accepted' || answer.is === 'receipt',
  );
  for (const each of acknowledged)
    court.expect('A1', receipt !== undefined, () => ({
      what: `${each.kind} ${requestId} was acknowledged, and the log knows nothing of it`,
      ...evidenceOf(),
    }));
  checkRefusedForRoom(court, known, evidence, requestId, asked, evidenceOf);
  const signals = evidence.signals.filter(
    (signal) => signal.conversationId === conversationId && signal.requestId === requestId,
  );
  const firstSignalMs = Math.min(...signals.map(({ atMs }) => atMs));
  for (const each of acknowledged)
    court.expect('A3', firstSignalMs <= each.answeredAtMs + CLOCK_SLACK_MS, () => ({
      what:
        signals.length === 0
          ? `${each.kind} ${requestId} was acknowledged, and Temporal has no signal of it`
          : `${each.kind} ${requestId} was acknowledged before Temporal had its signal`,
      ...evidenceOf(),
    }));

  // Whose content was taken: the log says.
  const kept =
    receipt === undefined || asked[0]?.kind === 'retry'
      ? null
      : contentTaken(known, requestId, receipt);
  if (kept !== null)
    court.expect(
      'A2',
      asked.some(({ content }) => content === kept),
      () => ({
        what: `the turn of request ${requestId} has a prompt that nobody sent`,
        ...evidenceOf(),
      }),
    );
  for (const each of asked) {
    const { answer } = each;
    if (answer.is !== 'receipt') continue;
    const told = answer.receipt;
    court.expect(
      'A2',
      receipt !== undefined &&
        told.status === receipt.status &&
        told.turnId === receipt.turnId &&
        told.code === receipt.code &&
        (told.status !== 'queued' || told.position === receipt.position),
      () => ({
        what: `request ${requestId} was answered ${JSON.stringify(told)}, and the log has ${JSON.stringify(receipt)}`,
        ...evidenceOf(),
      }),
    );
    court.expect('A2', kept === null || each.content === kept, () => ({
      what: `request ${requestId} was answered with a receipt, though it came with other content`,
      ...evidenceOf(),
    }));
    if (answer.outcome !== undefined) checkWaited(court, known, each, answer, evidenceOf);
  }
  // Once a receipt was told, the same is never refused, and another content always.
  const told = asked
    .filter(({ answer }) => answer.is === 'receipt')
    .toSorted((a, b) => a.answeredAtMs - b.answeredAtMs)[0];
  if (told === undefined) return;
  for (const later of asked.filter(({ sentAtMs }) => sentAtMs > told.answeredAtMs)) {
    const { answer } = later;
    if (answer.is === 'unknown') continue;
    if (later.content === told.content && later.kind === told.kind)
      court.expect('A2', answer.is !== 'refused', () => ({
        what: `request ${requestId} was refused on repeat: ${JSON.stringify(answer)}`,
        ...evidenceOf(),
      }));
    else
      court.expect('A2', answer.is === 'refused' && answer.code === 'request_id_reused', () => ({
        what: `request ${requestId} with other content was answered ${JSON.stringify(answer)}`,
        ...evidenceOf(),
      }));
  }
}

/** A3, the other way round: of what was refused for want of room nothing was done, unless it was asked for again. */
function checkRefusedForRoom(
  court: Court,
  known: Known,
  evidence: Evidence,
  requestId: string,
  asked: readonly CommandRecord[],
  evidenceOf: () => Pick<Violation, 'conversationId' | 'seqs' | 'excerpt'>,
): void {
  const refused = asked.filter(({ answer }) => answer.is === 'no-room');
  if (refused.length === 0) return;
  const others = asked.filter(({ answer }) => answer.is !== 'no-room' && answer.is !== 'refused');
  const othersFromMs = Math.min(...others.map(({ sentAtMs }) => sentAtMs)) - CLOCK_SLACK_MS;
  const { conversationId } = known.evidence;
  const signals = evidence.signals.filter(
    (signal) => signal.conversationId === conversationId && signal.requestId === requestId,
  );
  const events = known.events.filter((event) => event.requestId === requestId);
  const turns = known.evidence.turns.filter((turn) =>
    [turn, ...turn.attempts].some((row) => row.requestId === requestId),
  );
  for (const [what, tooSoon] of [
    ['a signal', signals.some(({ atMs }) => atMs < othersFromMs)],
    ['an event', events.some(({ at: stamp }) => Date.parse(stamp) < othersFromMs)],
    ['a turn', others.length === 0 && turns.length > 0],
  ] as const)
    court.expect('A3', !tooSoon, () => ({
      what: `request ${requestId} was refused with storage_full, and there is ${what} of it`,
      ...evidenceOf(),
    }));
}

/** What `?wait=end` answered is the end, and the text, of that very attempt. */
function checkWaited(
  court: Court,
  known: Known,
  asked: CommandRecord,
  answer: Extract<CommandRecord['answer'], { is: 'receipt' }>,
  evidenceOf: () => Pick<Violation, 'conversationId' | 'seqs' | 'excerpt'>,
): void {
  const attempt = attemptOf(known, asked.requestId);
  const isRemoved = known.events.some(
    (event) =>
      event.type === 'chat.cancelled' &&
      event.requestId === asked.requestId &&
      event.attempt === undefined,
  );
  const outcome = isRemoved ? 'cancelled' : OUTCOME_OF[attempt?.ends[0]?.type ?? ''];
  court.expect('A1', answer.outcome === outcome, () => ({
    what: `request ${asked.requestId} was told its turn ended ${answer.outcome}; the log says ${outcome}`,
    ...evidenceOf(),
  }));
  if (attempt === undefined || answer.text === undefined) return;
  const { text } = textOf(attempt);
  court.expect('L3', answer.text === text, () => ({
    what: `request ${asked.requestId} was given another text than the log has: ${difference(text, answer.text ?? '')}`,
    ...evidenceOf(),
  }));
}

/** The attempt that a request began, or was taken in by. */
function attemptOf(known: Known, requestId: string): Attempt | undefined {
  const own = [...known.attempts.values()].find((each) => each.requestId === requestId);
  if (own !== undefined) return own;
  const taken = known.events.find(
    (event) => event.type === 'chat.steered' && event.requestId === requestId,
  );
  return taken?.type === 'chat.steered'
    ? known.attempts.get(attemptKey(taken.payload.turnId, taken.payload.attempt))
    : undefined;
}

function expected(content: string): ReturnType<typeof expectationOf> | null {
  return content.startsWith('#script\n') ? expectationOf(content) : null;
}

function textOf(attempt: Attempt): { text: string; reasoning: string } {
  const of = (kind: string): string =>
    [...attempt.segments.values()]
      .filter((segment) => segment.kind === kind)
      .map((segment) => segment.text)
      .join('');
  return { text: of('text'), reasoning: of('reasoning') };
}

/** F2: texts against the scripts, and against the spools. */
function checkTexts(court: Court, known: Known, evidence: Evidence): void {
  const spools = Map.groupBy(
    evidence.spools.filter((each) => each.conversationId === known.evidence.conversationId),
    (each) => each.attemptKey,
  );
  for (const [key, attempt] of known.attempts) {
    const { turnId } = attempt;
    const end = attempt.ends[0];
    const { text: said, reasoning } = textOf(attempt);
    const { text, quoted } = withoutQuotes(said, attempt.steered);
    const wanted = expected(attempt.content);
    const where = (): Place => at(known, [attempt.startSeq, end?.seq ?? attempt.startSeq], turnId);
    if (wanted !== null) {
      const whole =
        end?.type === 'chat.done' || (end?.type === 'chat.error' && wanted.end === 'failed');
      const fits = (got: string, full: string): boolean =>
        whole ? got === full : full.startsWith(got);
      const manner = whole ? 'exactly' : 'a beginning of';
      court.expect('F2', fitsText(text, wanted.text, whole), () => ({
        what: `attempt ${key} (${end?.type}): its text is not ${manner} the script's: ${difference(wanted.text, text)}`,
        ...where(),
      }));
      court.expect('F2', fits(reasoning, wanted.reasoning), () => ({
        what: `attempt ${key} (${end?.type}): its reasoning is not ${manner} the script's: ${difference(wanted.reasoning, reasoning)}`,
        ...where(),
      }));
      court.expect('F2', fits(attempt.tools.join(' '), wanted.tools.join(' ')), () => ({
        what: `attempt ${key} (${end?.type}): tools [${attempt.tools.join(' ')}], the script has [${wanted.tools.join(' ')}]`,
        ...where(),
      }));
      court.expect('F2', !whole || quoted === attempt.steered.length, () => ({
        what: `attempt ${key} (${end?.type}) quotes ${quoted} of the ${attempt.steered.length} messages that it has taken in`,
        ...where(),
      }));
      court.expect('F2', end?.type !== 'chat.done' || wanted.end === 'completed', () => ({
        what: `attempt ${key} is done, and its script ends otherwise: ${wanted.end}`,
        ...where(),
      }));
    }
    for (const [messageId, segment] of attempt.segments)
      if (segment.end !== null)
        court.expect('F2', segment.end === segment.text, () => ({
          what: `segment ${messageId} ended with another text than its deltas: ${difference(segment.text, segment.end ?? '')}`,
          ...where(),
        }));
      else
        court.expect('L5', end === undefined, () => ({
          what: `segment ${messageId} was neither ended nor discarded before the end of attempt ${key}`,
          ...where(),
        }));
    checkSpool(court, { key, text: said, reasoning, turns: spools.get(key) ?? [], where });
  }
}

/** The text without what the scripted provider says of each message that it takes in, once for each. */
function withoutQuotes(said: string, steered: readonly string[]): { text: string; quoted: number } {
  let text = said;
  let quoted = 0;
  for (const content of steered) {
    const quote = `steered: ${content.trim().split('\n', 1)[0] ?? ''}\n`;
    const place = text.indexOf(quote);
    if (place === -1) continue;
    text = text.slice(0, place) + text.slice(place + quote.length);
    quoted += 1;
  }
  return { text, quoted };
}

function checkSpool(
  court: Court,
  given: {
    key: string;
    text: string;
    reasoning: string;
    turns: readonly SpoolTurn[];
    where: () => Place;
  },
): void {
  const { key, text, reasoning, turns, where } = given;
  if (turns.length === 0) return;
  const sum = (of: (turn: SpoolTurn) => number): number =>
    turns.reduce((total, turn) => total + of(turn), 0);
  const begins = sum((turn) => turn.begins);
  court.expect('F2', begins <= 1, () => ({
    what: `the prompt of attempt ${key} was given ${begins} times`,
    ...where(),
  }));
  const sessions = sum((turn) => turn.sessions);
  court.expect('F2', sessions <= 1, () => ({
    what: `the provider ran attempt ${key} ${sessions} times`,
    ...where(),
  }));
  for (const turn of turns) {
    court.expect('F2', turn.text === text, () => ({
      what: `the log of attempt ${key} has another text than its spool ${turn.spool}: ${difference(turn.text, text)}`,
      ...where(),
    }));
    court.expect('F2', turn.reasoning === reasoning, () => ({
      what: `the log of attempt ${key} has another reasoning than its spool ${turn.spool}: ${difference(turn.reasoning, reasoning)}`,
      ...where(),
    }));
  }
}

/** Where two texts part. */
function difference(wanted: string, got: string): string {
  let index = 0;
  while (index < wanted.length && wanted[index] === got[index]) index += 1;
  const around = (text: string): string =>
    JSON.stringify(text.slice(Math.max(0, index - 20), index + 20));
  return `from character ${index} on, ${around(wanted)} (of ${wanted.length}) is ${around(got)} (of ${got.length})`;
}

/** L5: what was delivered stays in the transcript, or was discarded. */
function checkTranscript(court: Court, known: Known): void {
  const rows = new Map(known.evidence.messages.map((row) => [row.messageId, row]));
  for (const [key, attempt] of known.attempts)
    for (const [messageId, segment] of attempt.segments) {
      const row = rows.get(messageId);
      court.expect('L5', row !== undefined && row.content === segment.text, () => ({
        what:
          row === undefined
            ? `message ${messageId} of attempt ${key} was delivered, and is not in the transcript`
            : `message ${messageId} of attempt ${key} is otherwise in the transcript: ${difference(segment.text, row.content)}`,
        ...at(known, [attempt.startSeq, attempt.ends[0]?.seq ?? attempt.startSeq], attempt.turnId),
      }));
    }
  for (const [turnId, content] of known.contents)
    court.expect(
      'L5',
      known.evidence.messages.some(
        (row) => row.turnId === turnId && row.role === 'user' && row.content === content,
      ),
      () => ({
        what: `the prompt of turn ${turnId} is not in the transcript`,
        conversationId: known.evidence.conversationId,
        turnId,
        excerpt: [],
      }),
    );
}

/** L4: a snapshot is the log folded up to it, and with the rest folded onto it the whole log folded. */
function checkView(court: Court, known: Known, view: ConversationViewValue, whose: string): void {
  const { conversationId } = known.evidence;
  const start = emptyView(conversationId);
  const upTo = foldEvents(
    start,
    known.events.filter(({ seq }) => seq <= view.lastSeq),
  );
  const whole = foldEvents(start, known.events);
  const tail = foldEvents(view, known.events);
  for (const [what, got, wanted] of [
    [`${whose} at seq ${view.lastSeq} is not the log folded`, view, upTo],
    [
      `${whose} at seq ${view.lastSeq} with the rest of the log is not the whole log folded`,
      tail,
      whole,
    ],
  ] as const) {
    const differs = firstDifference(
      comparable(got, view.messages.length),
      comparable(wanted, view.messages.length),
    );
    court.expect('L4', differs === null, () => ({
      what: `${what}: ${differs}`,
      ...at(known, [view.lastSeq]),
    }));
  }
}

/** Without what a snapshot may leave out: messages that are older than its page. */
function comparable(view: ConversationViewValue, pageLength: number): object {
  const { messages, hasOlder: _, ...rest } = view;
  const newest: MessageViewValue[] = pageLength === 0 ? [] : messages.slice(-pageLength);
  return { ...rest, messages: newest };
}

/** P1-P3: what was left, what was hit, what went on writing. */
function checkProcesses(court: Court, evidence: Evidence): void {
  court.expect('P1', evidence.leftOver.length === 0, () => ({
    what: `${evidence.leftOver.length} processes of ended turns live on`,
    excerpt: evidence.leftOver.map((each) => JSON.stringify(each)),
  }));
  court.expect('P2', evidence.strangersGone.length === 0, () => ({
    what: `${evidence.strangersGone.length} processes that are no provider's were ended`,
    excerpt: evidence.strangersGone.map((each) => JSON.stringify(each)),
  }));
  const interrupted = new Map<string, number>();
  for (const conversation of evidence.conversations)
    for (const { json } of conversation.log) {
      if (!json.includes('"chat.interrupted"')) continue;
      const event = JSON.parse(json) as Event;
      if (event.type === 'chat.interrupted' && event.turnId !== undefined)
        interrupted.set(attemptKey(event.turnId, event.attempt ?? 1), Date.parse(event.at));
    }
  // A session may go on after a turn that was interrupted, when its provider obeyed: what it writes then is the next one's.
  const newest = new Map(evidence.spools.map((turn) => [turn.spool, turn.attemptKey]));
  for (const { spool, atMs } of evidence.lastWrites) {
    const key = newest.get(spool) ?? spool;
    const end = interrupted.get(key);
    if (end === undefined) continue;
    court.expect('P3', atMs <= end + CLOCK_SLACK_MS, () => ({
      what: `the provider of ${key} wrote ${atMs - end} ms after its attempt was interrupted`,
      turnId: parseAttemptKey(key)?.turnId ?? key,
      excerpt: [],
    }));
  }
}

function checkHealth(court: Court, evidence: Evidence): void {
  const { settledAfterMs, limitMs, stuck } = evidence.healing;
  court.expect('W1', settledAfterMs !== null && settledAfterMs <= limitMs, () => ({
    what:
      settledAfterMs === null
        ? `not everything had ended when the run gave up; the limit is ${limitMs} ms`
        : `everything had ended ${settledAfterMs} ms after the last fault; the limit is ${limitMs} ms`,
    excerpt: stuck,
  }));
  for (const { role, residentMb, descriptors } of evidence.use) {
    const most = MOST_RESIDENT_MB[role];
    if (most !== undefined)
      court.expect('W2', residentMb <= most, () => ({
        what: `${role} took ${Math.round(residentMb)} MB; the bound is ${most}`,
        excerpt: [],
      }));
    if (role !== 'temporal')
      court.expect('W2', descriptors <= MOST_DESCRIPTORS, () => ({
        what: `${role} held ${descriptors} descriptors; the bound is ${MOST_DESCRIPTORS}`,
        excerpt: [],
      }));
  }
  court.expect('W2', evidence.spoolFolders.left <= evidence.spoolFolders.limit, () => ({
    what: `${evidence.spoolFolders.left} spools are left; the bound is ${evidence.spoolFolders.limit}`,
    excerpt: [],
  }));
  for (const { conversationId, log } of evidence.conversations) {
    const longest = Math.max(0, ...log.map((entry) => queueLength(entry)));
    court.expect('W2', longest <= QUEUE_LIMIT, () => ({
      what: `a queue of ${longest}; the bound is ${QUEUE_LIMIT}`,
      conversationId,
      excerpt: [],
    }));
  }
  for (const { workflowId, error } of evidence.replays)
    court.expect('R1', error === null, () => ({
      what: `the history of ${workflowId} does not replay: ${error}`,
      excerpt: [],
    }));
}

function queueLength({ json }: LogEntry): number {
  if (!json.includes('"queue.changed"')) return 0;
  const event = JSON.parse(json) as Event;
  return event.type === 'queue.changed' ? event.payload.queue.length : 0;
}
