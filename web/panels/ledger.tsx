import { useState } from 'react';

import type { LedgerRowValue, TriggerViewValue } from '../../src/contracts/triggers.ts';
import type { LedgerHandle, TriggersHandle } from '../client/contract.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { ProblemLine } from '../parts/problem-line.tsx';
import { fullWords } from '../parts/time-words.ts';
import { useOpened } from '../parts/use-opened.ts';
import { useReadable } from '../parts/use-readable.ts';
import {
  CAUSE_WORDS,
  OUTCOME_WORDS,
  OUTCOMES,
  outcomeTone,
  type LedgerOutcome,
} from './ledger-words.ts';
import { scheduleWords } from './schedule-words.ts';

/** The ledger of one trigger: a row for each due time, newest first. */
export function Ledger({
  handle,
  triggerId,
  trigger,
  onBack,
  onOpenConversation,
}: {
  handle: TriggersHandle;
  triggerId: string;
  /** Null: it has been removed meanwhile. */
  trigger: TriggerViewValue | null;
  onBack: () => void;
  onOpenConversation: (conversationId: string) => void;
}) {
  const [outcome, setOutcome] = useState<LedgerOutcome | null>(null);
  const ledger = useOpened(`${triggerId} ${outcome ?? ''}`, () =>
    handle.openLedger(triggerId, outcome === null ? {} : { outcome }),
  );
  const title = trigger === null ? 'A trigger that was removed' : trigger.title || trigger.content;
  return (
    <section className="ledger" aria-label="Ledger">
      <header className="ledger-header">
        <IconButton label="Back to triggers" icon="back" size="s" onClick={onBack} />
        <div className="ledger-names">
          <h3 className="ledger-title">{title}</h3>
          {trigger !== null && <p className="ledger-schedule">{scheduleWords(trigger.schedule)}</p>}
        </div>
      </header>
      {ledger !== null && (
        <LedgerRows
          ledger={ledger}
          outcome={outcome}
          counts={trigger?.counts ?? null}
          onOutcome={setOutcome}
          onOpenConversation={onOpenConversation}
        />
      )}
    </section>
  );
}

function LedgerRows({
  ledger,
  outcome,
  counts: countsOfTrigger,
  onOutcome,
  onOpenConversation,
}: {
  ledger: LedgerHandle;
  outcome: LedgerOutcome | null;
  counts: TriggerViewValue['counts'] | null;
  onOutcome: (outcome: LedgerOutcome | null) => void;
  onOpenConversation: (conversationId: string) => void;
}) {
  const { items, is, problem, hasMore, counts: countsRead } = useReadable(ledger);
  const counts = countsRead ?? countsOfTrigger;
  const all = counts === null ? null : OUTCOMES.reduce((sum, each) => sum + counts[each], 0);
  return (
    <>
      <div className="chips" role="group" aria-label="Show">
        <Chip isOn={outcome === null} onPress={() => onOutcome(null)} words="All" count={all} />
        {OUTCOMES.filter((each) => each === outcome || counts === null || counts[each] > 0).map(
          (each) => (
            <Chip
              key={each}
              isOn={outcome === each}
              onPress={() => onOutcome(each)}
              words={OUTCOME_WORDS[each]}
              count={counts?.[each] ?? null}
            />
          ),
        )}
      </div>
      {problem !== null && <ProblemLine problem={problem} onRetry={() => ledger.loadMore()} />}
      {is === 'ready' && items.length === 0 && <p className="panel-empty">Nothing was due yet.</p>}
      {items.length > 0 && (
        <div className="table-scroll" role="region" aria-label="Ledger rows" tabIndex={0}>
          <table className="ledger-table">
            <thead>
              <tr>
                <th scope="col">Due</th>
                <th scope="col">Outcome</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {items.map((row) => (
                <Row
                  key={`${row.dueAt} ${row.cause} ${row.requestId ?? ''}`}
                  row={row}
                  onOpenConversation={onOpenConversation}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {hasMore && items.length > 0 && (
        <Button
          size="s"
          className="ledger-more"
          disabled={is === 'loading'}
          onClick={() => ledger.loadMore()}
        >
          {is === 'loading' ? 'Loading…' : 'Load more'}
        </Button>
      )}
      {is === 'loading' && items.length === 0 && <p className="panel-empty">Loading…</p>}
    </>
  );
}

function Chip({
  isOn,
  words,
  count,
  onPress,
}: {
  isOn: boolean;
  words: string;
  count: number | null;
  onPress: () => void;
}) {
  return (
    <button type="button" className="chip" aria-pressed={isOn} onClick={onPress}>
      {words}
      {count !== null && <span className="chip-count">{count}</span>}
    </button>
  );
}

function Row({
  row,
  onOpenConversation,
}: {
  row: LedgerRowValue;
  onOpenConversation: (conversationId: string) => void;
}) {
  const { conversationId } = row;
  const dueMs = Date.parse(row.dueAt);
  return (
    <tr>
      <th scope="row" className="ledger-due">
        <time dateTime={row.dueAt} title={fullWords(dueMs)}>
          {dayWords(dueMs)}
          <span className="ledger-time">{timeWords(dueMs)}</span>
        </time>
      </th>
      <td>
        <span className={`badge badge-${outcomeTone(row)}`}>{OUTCOME_WORDS[row.outcome]}</span>
      </td>
      <td className="ledger-words">
        {row.words}
        <span className="ledger-facts">
          {row.cause !== 'due' && <span>{CAUSE_WORDS[row.cause]}</span>}
          <span>rule {row.rule}</span>
          {conversationId !== undefined && (
            <button
              type="button"
              className="text-button"
              aria-label={`Open the conversation of ${fullWords(dueMs)}`}
              onClick={() => onOpenConversation(conversationId)}
            >
              Open
            </button>
          )}
        </span>
      </td>
    </tr>
  );
}

function dayWords(dueMs: number): string {
  return new Date(dueMs).toLocaleDateString(undefined, { month: 'short', day: 'numeric' });
}

/** Seconds where they say something. */
function timeWords(dueMs: number): string {
  const timeStyle = dueMs % 60_000 === 0 ? 'short' : 'medium';
  return new Date(dueMs).toLocaleTimeString(undefined, { timeStyle });
}
