import { useId, useRef, useState } from 'react';

import type { ApprovalViewValue } from '../../../src/contracts/view.ts';
import type { ApprovalAnswer } from '../../client/contract.ts';
import { Button } from '../../parts/button.tsx';
import { CopyButton } from '../../parts/copy-button.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Ago } from '../../parts/time.tsx';
import { useConversation, useEditorText } from '../conversation-context.ts';
import { inputText } from '../input-text.ts';
import { LongText, WHOLE_CHARS } from '../long-text.tsx';
import { visibleText } from '../visible-text-view.tsx';
import { visibleWords } from '../visible-text.ts';
import { sizeText } from '../words.ts';

/** Longest message that goes with a denial. Source: `ApprovalBody`. */
const MESSAGE_CHARS = 4_000;

/**
 * What an agent asks leave for: all of its input as it is, then the answer. Answered from elsewhere it says by whom; an
 * answer is asked for once, and what came of it comes with the log.
 */
export function ApprovalCard({
  approval,
  answer,
}: {
  approval: ApprovalViewValue;
  answer: ApprovalAnswer | null;
}) {
  const { handle, perform } = useConversation();
  const { approvalId, title, input, options } = approval;
  const [given, setGiven] = useState<'allow' | 'deny' | null>(null);
  const [reason, setReason] = useEditorText(`deny ${approvalId}`);
  const inputId = useId();
  const card = useRef<HTMLDivElement>(null);
  const isOver = answer !== null;

  const give = async (decision: 'allow' | 'deny'): Promise<void> => {
    setGiven(decision);
    // the buttons are of no use from now on, and the focus would go with them
    card.current?.focus();
    const message = decision === 'deny' ? reason?.trim() : undefined;
    const request = { approvalId, decision, ...(message ? { message } : {}) };
    const { is } = await perform('answer', handle.answer(request));
    // it may be answered once more
    if (is === 'refused') setGiven(null);
  };
  return (
    <div
      ref={card}
      tabIndex={-1}
      role="group"
      aria-label={`Approval: ${visibleWords(title)}`}
      className={isOver ? 'approval-card' : 'approval-card approval-card-open'}
    >
      <div className="approval-card-title">
        <Icon name={isOver ? answerIcon(answer) : 'warning'} size={16} />
        <span>{visibleText(title)}</span>
        {isOver && <Answered answer={answer} />}
      </div>
      <ApprovalInput id={inputId} input={input} />
      {!isOver && (
        <>
          {reason !== null && (
            <input
              className="approval-card-reason"
              aria-label="Message to the agent"
              placeholder="What should it do instead?"
              maxLength={MESSAGE_CHARS}
              value={reason}
              onChange={({ target }) => setReason(target.value)}
            />
          )}
          <div className="approval-card-buttons">
            {options.includes('allow') && (
              <Button
                variant="primary"
                aria-describedby={inputId}
                disabled={given !== null}
                onClick={() => void give('allow')}
              >
                Allow
              </Button>
            )}
            {options.includes('deny') && (
              <Button disabled={given !== null} onClick={() => void give('deny')}>
                Deny
              </Button>
            )}
            {options.includes('deny') && given === null && reason === null && (
              <button type="button" className="link-button" onClick={() => setReason('')}>
                Add a message to a denial
              </button>
            )}
            {given !== null && (
              <span role="status" className="approval-card-given">
                {given === 'allow' ? 'Allowing…' : 'Denying…'}
              </span>
            )}
          </div>
        </>
      )}
    </div>
  );
}

function ApprovalInput({ id, input }: { id: string; input: unknown }) {
  const text = inputText(input);
  if (text === '' || text === '{}' || text === 'null')
    return (
      <p id={id} className="approval-card-empty">
        No input.
      </p>
    );
  return (
    <div id={id} className="approval-card-input">
      {text.length > WHOLE_CHARS && (
        <p className="approval-card-long">
          This input is long ({sizeText(text.length)}): scroll to its end before you decide.
        </p>
      )}
      <LongText text={text} label="Input" render={visibleText} />
      <CopyButton size="s" label="Copy input" text={() => text} />
    </div>
  );
}

const ANSWERS = { allow: 'Allowed', deny: 'Denied', withdrawn: 'Withdrawn' } as const;

function answerIcon({ decision }: ApprovalAnswer) {
  return decision === 'allow' ? 'check' : 'close';
}

/** Who answered, and when. */
export function Answered({ answer }: { answer: ApprovalAnswer }) {
  const { decision, by, at } = answer;
  return (
    <span className={`answered answered-${decision}`}>
      {decision === 'withdrawn' ? ANSWERS.withdrawn : `${ANSWERS[decision]} by ${by}`}
      {' · '}
      <Ago at={at} />
    </span>
  );
}
