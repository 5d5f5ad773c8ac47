import { memo } from 'react';

import type { Row } from '../../client/contract.ts';
import { CopyButton } from '../../parts/copy-button.tsx';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { durationWords } from '../../parts/time-words.ts';
import { useNow } from '../../parts/time.tsx';
import { useChoice } from '../conversation-context.ts';
import { inputText, shortInput } from '../input-text.ts';
import { LongText } from '../long-text.tsx';
import { visibleText } from '../visible-text-view.tsx';
import { sizeText } from '../words.ts';
import { Answered, ApprovalCard } from './approval-card.tsx';

type ToolRowData = Extract<Row, { type: 'tool' }>;

/** An output so short is shown without being asked for. */
const SHORT_OUTPUT = { characters: 600, lines: 8 };

const STATES = {
  running: { words: 'Running', icon: 'tool' },
  ok: { words: 'Done', icon: 'check' },
  error: { words: 'Failed', icon: 'warning' },
  denied: { words: 'Denied', icon: 'close' },
} as const satisfies Record<string, { words: string; icon: IconName }>;

/** A call of a tool: what it was asked, what it says, how long it took. Open while it runs or waits. */
export function ToolRow({ row }: { row: ToolRowData }) {
  const { key, message, approval, answer } = row;
  const { tool, content, status: messageStatus } = message;
  const [chosen, setChosen] = useChoice(key);
  const status = tool?.status ?? 'running';
  const isRunning = status === 'running';
  const isAsking = approval !== null && answer === null;
  const isOpen = chosen ?? (isRunning || status === 'error' || isShort(content));
  const { words, icon } = STATES[status];
  const summary = shortInput(tool?.input);
  return (
    <div className={`tool-card tool-card-${status}`}>
      <button
        type="button"
        className="tool-card-header"
        aria-expanded={isOpen}
        onClick={() => setChosen(!isOpen)}
      >
        <span className="tool-card-icon">
          <Icon name={icon} size={16} />
        </span>
        <span className="tool-card-name">{visibleText(tool?.name ?? 'Tool')}</span>
        <span className="tool-card-summary">{visibleText(summary)}</span>
        <span className="tool-card-state">
          {isAsking ? 'Needs approval' : words}
          {' · '}
          <Took row={row} isRunning={isRunning} />
        </span>
        <Icon name="chevron" size={16} />
      </button>
      {isOpen && (
        <div className="tool-card-body">
          {/* an approval shows the whole of what it is about */}
          {!isAsking && <ToolInput name={`input ${key}`} input={tool?.input} />}
          {content !== '' && (
            <div className="tool-card-output">
              <LongText text={content} label="Output" isLive={isRunning} />
              {!isRunning && (
                <div
                  className={
                    isShort(content) ? 'tool-card-foot' : 'tool-card-foot tool-card-foot-below'
                  }
                >
                  {!isShort(content) && <span>{sizeText(content.length)}</span>}
                  <CopyButton size="s" label="Copy output" text={() => content} />
                </div>
              )}
            </div>
          )}
          {content === '' && !isRunning && <p className="tool-card-nothing">No output.</p>}
          {messageStatus === 'partial' && (
            <p className="incomplete">
              <Icon name="warning" size={14} />
              Partial: the turn ended before this call did
            </p>
          )}
        </div>
      )}
      {approval !== null ? (
        <div className="tool-card-approval">
          <ApprovalCard key={approval.approvalId} approval={approval} answer={answer} />
        </div>
      ) : (
        answer !== null && (
          <p className="tool-card-answer">
            <Answered answer={answer} />
          </p>
        )
      )}
    </div>
  );
}

function isShort(output: string): boolean {
  return (
    output.length <= SHORT_OUTPUT.characters && output.split('\n').length <= SHORT_OUTPUT.lines
  );
}

/** Counts while it runs. */
function Took({ row, isRunning }: { row: ToolRowData; isRunning: boolean }) {
  if (row.tookMs !== null) return durationWords(row.tookMs);
  return isRunning ? <Running sinceMs={row.startedAtMs} /> : 'ended';
}

const Running = memo(function Running({ sinceMs }: { sinceMs: number }) {
  return durationWords(Math.max(0, useNow(1_000) - sinceMs));
});

const ToolInput = memo(function ToolInput({ name, input }: { name: string; input: unknown }) {
  const [isOpen = false, setOpen] = useChoice(name);
  const text = inputText(input);
  if (text === '' || text === '{}' || text === 'null') return null;
  return (
    <div className="tool-card-input">
      <button
        type="button"
        className="disclosure"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        <Icon name="chevron" size={16} />
        <span className="disclosure-title">Input</span>
      </button>
      {isOpen && <LongText text={text} label="Input" />}
    </div>
  );
});
