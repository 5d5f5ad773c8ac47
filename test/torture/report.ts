/** What a run says of itself, as text. */
import { INVARIANTS, type Verdict } from './checker.ts';
import { CONVERSATION_PHASES, type Fault, FAULT_ROLES } from './evidence.ts';
import { CELLS, cellKey } from './faults.ts';

/** Fault × state, with how often each cell was hit, and the cells that never were. */
export function faultTable(hits: ReadonlyMap<string, number>): string {
  const width = Math.max(...CONVERSATION_PHASES.map((phase) => phase.length)) + 1;
  const rows = [
    ['', ...CONVERSATION_PHASES],
    ...FAULT_ROLES.flatMap((role) =>
      (['kill', 'stop'] as const).map((fault) => [
        `${fault} ${role}`,
        ...CONVERSATION_PHASES.map((phase) =>
          String(hits.get(cellKey({ role, fault, phase })) ?? 0),
        ),
      ]),
    ),
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

export function faultCounts(faults: readonly Fault[]): string {
  return (['kill', 'stop'] as const)
    .map((kind) => {
      const of = faults.filter(({ fault }) => fault === kind);
      const roles = FAULT_ROLES.map(
        (role) => `${role} ${of.filter((fault) => fault.role === role).length}`,
      );
      return `${kind === 'kill' ? 'Kills' : 'Stops'}: ${of.length} (${roles.join(', ')})`;
    })
    .join('\n');
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
