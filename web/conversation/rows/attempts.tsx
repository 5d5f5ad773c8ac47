import { useRef, type KeyboardEvent } from 'react';

import type { TurnInfo } from '../../client/contract.ts';
import { useConversation } from '../conversation-context.ts';
import { outcomeWords } from '../words.ts';

/** Which attempt of a turn is shown: tabs, of which one is in the order of the tab key and the others are reached by arrows. */
export function AttemptTabs({ turn, shown }: { turn: TurnInfo; shown: number }) {
  const { handle } = useConversation();
  const list = useRef<HTMLDivElement>(null);
  const newest = turn.attempts.at(-1)?.attempt;
  const show = (attempt: number): void =>
    handle.showAttempt(turn.turnId, attempt === newest ? null : attempt);
  const move = (event: KeyboardEvent): void => {
    const at = turn.attempts.findIndex(({ attempt }) => attempt === shown);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: turn.attempts.length - 1 }[
      event.key
    ];
    const target = next === undefined ? undefined : turn.attempts[next];
    if (target === undefined || next === undefined) return;
    event.preventDefault();
    show(target.attempt);
    list.current?.querySelectorAll<HTMLElement>('[role="tab"]')[next]?.focus();
  };
  return (
    <div ref={list} role="tablist" aria-label="Attempts" className="attempts-tabs">
      {turn.attempts.map(({ attempt, outcome }) => (
        <button
          key={attempt}
          type="button"
          role="tab"
          aria-selected={attempt === shown}
          tabIndex={attempt === shown ? 0 : -1}
          className="attempts-tab"
          onClick={() => show(attempt)}
          onKeyDown={move}
        >
          Attempt {attempt}
          <span className="attempts-tab-outcome">{outcomeWords(outcome).toLowerCase()}</span>
        </button>
      ))}
    </div>
  );
}
