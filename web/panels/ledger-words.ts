/** A ledger's outcomes as words. Pure. */
import type { LedgerCountsValue, LedgerRowValue } from '../../src/contracts/triggers.ts';

export type LedgerOutcome = LedgerRowValue['outcome'];

export const OUTCOMES = ['fired', 'late', 'caught-up', 'skipped', 'rejected'] as const;

export const OUTCOME_WORDS: Readonly<Record<LedgerOutcome, string>> = {
  fired: 'Fired',
  late: 'Late',
  'caught-up': 'Caught up',
  skipped: 'Skipped',
  rejected: 'Rejected',
};

/** How much a row calls for a look. What a pause has skipped is as it was wanted. */
export function outcomeTone(row: LedgerRowValue): 'good' | 'warn' | 'bad' | 'plain' {
  if (row.outcome === 'fired') return 'good';
  if (row.outcome === 'rejected') return 'bad';
  return row.outcome === 'skipped' && row.reason === 'paused' ? 'plain' : 'warn';
}

export const CAUSE_WORDS: Readonly<Record<LedgerRowValue['cause'], string>> = {
  due: 'due',
  manual: 'by hand',
  backfill: 'backfilled',
};

/** `12 fired, 3 skipped`; what never was is left out. */
export function countsWords(counts: LedgerCountsValue): string {
  const parts = OUTCOMES.filter((outcome) => counts[outcome] > 0).map(
    (outcome) => `${counts[outcome]} ${OUTCOME_WORDS[outcome].toLowerCase()}`,
  );
  return parts.length === 0 ? 'never due yet' : parts.join(', ');
}
