/** What a run says of itself, as text. */
import { INVARIANTS, type Verdict } from './court.ts';
import {
  type Act,
  CONVERSATION_PHASES,
  type Evidence,
  type Fault,
  FAULT_KINDS,
  type FaultKind,
} from './evidence.ts';
import { CELLS, cellKey, FAULTS } from './faults.ts';

/** Fault × state, with how often each cell was hit, and the cells that never were. */
export function faultTable(hits: ReadonlyMap<string, number>): string {
  const width = Math.max(...CONVERSATION_PHASES.map((phase) => phase.length)) + 1;
  const rows = [
    ['', ...CONVERSATION_PHASES],
    ...FAULTS.map(({ role, fault }) => [
      `${fault} ${role}`,
      ...CONVERSATION_PHASES.map((phase) => String(hits.get(cellKey({ role, fault, phase })) ?? 0)),
    ]),
  ];
  const table = rows
    .map(
      ([name = '', ...cells]) =>
        name.padEnd(16) + cells.map((cell) => cell.padStart(width)).join(''),
    )
    .join('\n');
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
        ...(violation.turnId === undefined ? [] : [`  turn ${violation.turnId}`]),
        ...(violation.seqs === undefined ? [] : [`  seqs ${violation.seqs.join(', ')}`]),
        ...violation.excerpt.map((line) => `    ${line}`),
      ].join('\n'),
    );
  const more = verdict.violations.length - shown.length;
  return [...shown, ...(more > 0 ? [`… and ${more} more violations`] : [])].join('\n\n');
}
