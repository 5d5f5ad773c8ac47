/** What a run says of itself, as text. */
import type { Event } from '../../src/contracts/events.ts';
import { INVARIANTS, type Verdict } from './court.ts';
import {
  type Act,
  type AgentAct,
  type Evidence,
  type Fault,
  FAULT_KINDS,
  type FaultKind,
  PHASES,
  type TriggerAct,
} from './evidence.ts';
import { CELLS, cellKey, FAULTS } from './faults.ts';

/** State × fault, with how often each cell was hit, and the cells that never were. */
export function faultTable(hits: ReadonlyMap<string, number>): string {
  const states = Math.max(...PHASES.map((phase) => phase.length));
  const row = (name: string, cells: readonly string[]): string =>
    name.padEnd(states) +
    cells
      .map((cell, index) => cell.padStart(2 + Math.max(5, FAULTS[index]?.role.length ?? 0)))
      .join('');
  const table = [
    row(
      '',
      FAULTS.map(({ fault }) => fault),
    ),
    row(
      '',
      FAULTS.map(({ role }) => role),
    ),
    ...PHASES.map((phase) =>
      row(
        phase,
        FAULTS.map(({ role, fault }) => String(hits.get(cellKey({ role, fault, phase })) ?? 0)),
      ),
    ),
  ].join('\n');
  const missed = CELLS.filter((cell) => !hits.has(cellKey(cell))).map((cell) => cellKey(cell));
  return `${table}\n${
    missed.length === 0
      ? 'Every cell was hit.'
      : `Never hit (${missed.length} of ${CELLS.length} cells): ${missed.join(', ')}`
  }`;
}

const PLURALS: Readonly<Record<FaultKind, string>> = {
  kill: 'Kills',
  stop: 'Stops',
  fill: 'Fills',
};

export function faultCounts(faults: readonly Fault[]): string {
  return FAULT_KINDS.map((kind) => {
    const of = faults.filter(({ fault }) => fault === kind);
    const roles = FAULTS.filter(({ fault }) => fault === kind).map(
      ({ role }) => `${role} ${of.filter((fault) => fault.role === role).length}`,
    );
    return `${PLURALS[kind]}: ${of.length} (${roles.join(', ')})`;
  }).join('\n');
}

/** How often the silence clock and the full disk were really met: a rule that nothing met proves nothing. */
export function metCounts({ conversations, commands }: Evidence): string {
  const lines = conversations.flatMap(({ log }) => log.map(({ json }) => json));
  const count = (...signs: string[]): number =>
    lines.filter((json) => signs.every((sign) => json.includes(sign))).length;
  const refused = commands.filter(({ answer }) => answer.is === 'no-room').length;
  return (
    `Silence: ${count('"type":"chat.quiet"')} times called quiet, ` +
    `${count('"type":"chat.interrupted"', '"cause":"stalled"')} attempts ended as stalled. ` +
    `Full disk: ${refused} requests refused, ` +
    `${count('"type":"notice"', '"code":"storage_full"')} attempts waited.`
  );
}

/** How often the situations of tables, queues and histories were really met. */
export function tableCounts({ conversations, tables, acts, faults }: Evidence): string {
  const lines = [...conversations, ...tables].flatMap(({ log }) => log.map(({ json }) => json));
  const count = (...signs: string[]): number =>
    lines.filter((json) => signs.every((sign) => json.includes(sign))).length;
  const done = (what: Act['do']): number =>
    acts.filter(({ act, answer }) => act.do === what && answer.is === 'done').length;
  const moves = ['created', 'user', 'send', 'queue'].map(
    (reason) => `${reason} ${count('"type":"conversation.activated"', `"reason":"${reason}"`)}`,
  );
  const stopped = ['user', 'new-chat', 'interrupt', 'promote'].map(
    (by) => `${by} ${count('"type":"chat.cancelling"', '"step":"requested"', `"by":"${by}"`)}`,
  );
  const changed = (
    ['edit', 'move', 'promote', 'remove', 'hold', 'release', 'cancel-and-hold'] as const
  ).map((what) => `${what} ${done(what)}`);
  const cut = (by: string): number => count('"type":"history.cut"', `"by":"${by}"`);
  const givingWay = faults.filter(({ state }) => state === 'giving-way').length;
  return [
    `Tables: ${tables.length}, the slot moved ${count('"type":"conversation.activated"')} times (${moves.join(', ')}); ${givingWay} faults were aimed at one that gave way`,
    `Cancels: ${stopped.join(', ')}`,
    `Queues: ${changed.join(', ')}; ${count('"type":"chat.steered"')} messages taken in by a running turn, ${count('"code":"steer_queued"')} not`,
    `Histories: ${cut('rollback')} rollbacks, ${cut('edit')} edits, ${done('fork')} forks, ${count('"type":"message.copied"')} rows copied, ${done('rename')} renames, ${done('archive')} archived or brought back`,
  ].join('\n');
}

/** How often the situations of triggers were really met, by the ledgers as they are at the end. */
export function triggerCounts({ triggers, triggerActs, readings }: Evidence): string {
  const rows = triggers.flatMap(({ ledger }) => ledger);
  const count = (is: (row: (typeof rows)[number]) => boolean): number => rows.filter(is).length;
  const events = triggers.flatMap(({ log }) => log.map(({ json }) => JSON.parse(json) as Event));
  const looks = events.flatMap((event) =>
    event.type === 'trigger.decided' && event.payload.cause === 'due' ? [event.payload.fires] : [],
  );
  const gaps = looks.filter((fires) =>
    fires.some(({ outcome, reason }) => outcome === 'caught-up' || reason === 'missed'),
  );
  const done = (what: TriggerAct['do']): number =>
    triggerActs.filter(({ act, answer }) => act.do === what && answer.is === 'done').length;
  const policies = ['skip', 'run-once', 'run-all', 'window'].map((policy) => {
    const met = triggers.flatMap(({ log }) => missedBy(log, policy)).length;
    return `${policy} ${met}`;
  });
  const tookMs = looks
    .flat()
    .filter(({ outcome }) => outcome === 'fired')
    .map(({ dueAt, decidedAt }) => Date.parse(decidedAt) - Date.parse(dueAt))
    .toSorted((a, b) => a - b);
  const at = (share: number): number => tookMs[Math.floor(tookMs.length * share)] ?? 0;
  return [
    `Triggers: ${triggers.length}, ${rows.length} rows: ` +
      `fired ${count(({ outcome }) => outcome === 'fired')}, late ${count(({ outcome }) => outcome === 'late')}, ` +
      `caught-up ${count(({ outcome }) => outcome === 'caught-up')}, ` +
      `skipped ${count(({ outcome }) => outcome === 'skipped')} ` +
      `(${['busy', 'missed', 'paused'].map((reason) => `${reason} ${count((row) => row.reason === reason)}`).join(', ')}), ` +
      `rejected ${count(({ outcome }) => outcome === 'rejected')}; ` +
      `by hand ${count(({ cause }) => cause === 'manual')}, backfilled ${count(({ cause }) => cause === 'backfill')}`,
    `Gaps: ${gaps.length} (by policy: ${policies.join(', ')}). Decided after it was due: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
    `Of triggers: ${(['create', 'change', 'fire', 'backfill', 'remove'] as const).map((what) => `${what} ${done(what)}`).join(', ')}; ${readings.length} readings of a ledger`,
  ].join('\n');
}

/** How often the situations of agents were really met. */
export function agentCounts({ conversations, teams, agentActs }: Evidence): string {
  const lines = conversations.flatMap(({ log }) => log.map(({ json }) => json));
  const count = (...signs: string[]): number =>
    lines.filter((json) => signs.every((sign) => json.includes(sign))).length;
  const rows = teams.flatMap(({ mailboxes }) => mailboxes.flatMap((each) => each.rows));
  const of = (is: (row: (typeof rows)[number]) => boolean): number => rows.filter(is).length;
  const kinds = (['task', 'message', 'result', 'error', 'recovery'] as const).map(
    (kind) => `${kind} ${of((row) => row.kind === kind)}`,
  );
  const states = (['accepted', 'delivered', 'applied', 'failed', 'expired'] as const).map(
    (state) => `${state} ${of((row) => row.state === state)}`,
  );
  const sizes = teams.map(({ view }) => view.agents.length).toSorted((a, b) => b - a);
  const deepest = Math.max(
    0,
    ...teams.flatMap(({ view }) => view.agents.map(({ depth }) => depth)),
  );
  const done = (what: AgentAct['do']): number =>
    agentActs.filter(({ act, answer }) => act.do === what && answer.is === 'done').length;
  const tools = (name: string): number => count('"type":"tool.start"', `"name":"${name}"`);
  const joined = lines.filter(
    (json) => json.includes('"type":"message.created"') && /"mail":\[\{[^\]]*\},\{/u.test(json),
  ).length;
  return [
    `Teams: ${teams.length} of ${sizes.join(', ')} members, up to depth ${deepest}; mail: ${rows.length} rows (${kinds.join(', ')}; ${states.join(', ')}), ` +
      `${of((row) => row.coveredBy !== undefined)} covered by a recovery, ${joined} turns were given several, ${count('"type":"mail.again"')} sent again, ${count('"type":"mail.accepted"', '"waits":true')} waited`,
    `Of agents: ${(['spawn', 'mail', 'resend', 'cascade'] as const).map((what) => `${what} ${done(what)}`).join(', ')} by clients, ${agentActs.filter(({ refusal }) => refusal !== null).length} that had to be refused; ` +
      `tools: ${['spawn_agent', 'send_message', 'check_inbox', 'list_team'].map((name) => `${name} ${tools(name)}`).join(', ')}`,
  ].join('\n');
}

/** Looks that found something missed, under this policy. */
function missedBy(log: Evidence['triggers'][number]['log'], policy: string): string[] {
  let now = '';
  return log.flatMap(({ json }) => {
    const event = JSON.parse(json) as Event;
    if (event.type === 'trigger.created' || event.type === 'trigger.updated')
      now = event.payload.definition.missed.policy;
    const isGap =
      event.type === 'trigger.decided' &&
      event.payload.cause === 'due' &&
      event.payload.fires.some(
        ({ outcome, reason }) => outcome === 'caught-up' || reason === 'missed',
      );
    return isGap && now === policy ? [json] : [];
  });
}

export function invariantCounts(verdict: Verdict): string {
  const counts = INVARIANTS.map((invariant) => {
    const violations = verdict.violations.filter((each) => each.invariant === invariant).length;
    const broken = violations === 0 ? '' : ` (${violations} VIOLATED)`;
    return `${invariant} ${verdict.checked.get(invariant) ?? 0}${broken}`;
  });
  return `Checked: ${counts.join(', ')}`;
}

/** The first violations with their evidence. */
export function violationText(verdict: Verdict, most = 12): string {
  const shown = verdict.violations
    .slice(0, most)
    .map((violation) =>
      [
        `VIOLATION of ${violation.invariant}: ${violation.what}`,
        ...(violation.conversationId === undefined
          ? []
          : [`  conversation ${violation.conversationId}`]),
        ...(violation.triggerId === undefined ? [] : [`  trigger ${violation.triggerId}`]),
        ...(violation.turnId === undefined ? [] : [`  turn ${violation.turnId}`]),
        ...(violation.seqs === undefined ? [] : [`  seqs ${violation.seqs.join(', ')}`]),
        ...violation.excerpt.map((line) => `    ${line}`),
      ].join('\n'),
    );
  const more = verdict.violations.length - shown.length;
  return [...shown, ...(more > 0 ? [`… and ${more} more violations`] : [])].join('\n\n');
}
