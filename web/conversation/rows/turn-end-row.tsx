import { useState } from 'react';

import type { Row } from '../../client/contract.ts';
import { Button } from '../../parts/button.tsx';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { durationWords } from '../../parts/time-words.ts';
import { usageText } from '../../parts/usage-words.ts';
import { useConversation } from '../conversation-context.ts';
import { causeWords, outcomeWords } from '../words.ts';
import { AttemptTabs } from './attempts.tsx';

const ICONS: Readonly<Record<string, IconName>> = {
  completed: 'check',
  failed: 'warning',
  cancelled: 'stop',
  interrupted: 'bolt',
};

/** How an attempt ended, what it cost, and what can be done about it. */
export function TurnEndRow({ row }: { row: Extract<Row, { type: 'turn-end' }> }) {
  const { turn, attempt, isPartial } = row;
  const { handle, perform, compare } = useConversation();
  const [isAsked, setAsked] = useState(false);
  const { outcome } = attempt;
  const isNewest = turn.attempts.at(-1)?.attempt === attempt.attempt;
  const cause = causeWords({
    outcome,
    cause: attempt.cause,
    words: isNewest ? turn.words : null,
  });
  const isKept = isPartial && outcome !== null && outcome !== 'completed';
  const told = [cause, isKept ? 'a partial answer was kept' : null].filter((part) => part !== null);
  const usage = usageText(attempt.usage);
  const tookMs =
    attempt.endedAt === null ? null : Date.parse(attempt.endedAt) - Date.parse(attempt.startedAt);
  const facts = [usage, tookMs === null ? null : durationWords(tookMs)].filter(
    (fact) => fact !== null,
  );
  const retry = async (): Promise<void> => {
    setAsked(true);
    await perform('retry', handle.retry(turn.turnId));
    setAsked(false);
  };
  const several = turn.attempts.length > 1;
  return (
    <div className={`turn-end turn-end-${outcome ?? 'running'}`}>
      <div className="turn-end-line">
        {outcome !== null && (
          <span className="turn-end-outcome">
            <Icon name={ICONS[outcome] ?? 'check'} size={14} />
            {outcomeWords(outcome)}
          </span>
        )}
        {told.length > 0 && <span className="turn-end-cause">{told.join('; ')}</span>}
        {facts.length > 0 && <span className="turn-end-facts">{facts.join(' · ')}</span>}
        {turn.retryable && isNewest && (
          <Button size="s" disabled={isAsked} onClick={() => void retry()}>
            <Icon name="retry" size={14} />
            Retry
          </Button>
        )}
      </div>
      {several && (
        <div className="turn-end-attempts">
          <AttemptTabs turn={turn} shown={attempt.attempt} />
          <button type="button" className="link-button" onClick={() => compare(turn)}>
            Side by side
          </button>
        </div>
      )}
    </div>
  );
}
