import type { Row } from '../../client/contract.ts';
import { Icon } from '../../parts/icon.tsx';
import { durationWords } from '../../parts/time-words.ts';
import { useChoice } from '../conversation-context.ts';
import { LongText } from '../long-text.tsx';
import { Incomplete } from './block-row.tsx';

const PREVIEW_CHARS = 160;

/** What the assistant thought: a line, and the whole when it is opened. */
export function ReasoningRow({ row }: { row: Extract<Row, { type: 'reasoning' }> }) {
  const { key, text, isOpen: isComing, tookMs, message } = row;
  const [isOpen = false, setOpen] = useChoice(key);
  const took =
    tookMs === null
      ? 'Thought'
      : `Thought for ${tookMs < 1_000 ? 'a moment' : durationWords(tookMs)}`;
  return (
    <div className="reasoning-row">
      <button
        type="button"
        className="disclosure"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        <Icon name="chevron" size={16} />
        {isComing && <span className="pulse-dot" />}
        <span className="disclosure-title">{isComing ? 'Thinking…' : took}</span>
        {!isOpen && isComing && <span className="disclosure-preview">{lastWords(text)}</span>}
      </button>
      {isOpen && (
        <LongText text={text} label="Reasoning" isLive={isComing} className="reasoning-row-text" />
      )}
      {!isComing && <Incomplete status={message.status} />}
    </div>
  );
}

/** The end of it, in one line. */
function lastWords(text: string): string {
  const end = text
    .slice(-PREVIEW_CHARS * 2)
    .replaceAll(/\s+/gu, ' ')
    .trim();
  if (end.length <= PREVIEW_CHARS) return end;
  const cut = end.slice(-PREVIEW_CHARS);
  return `…${cut.slice(cut.indexOf(' ') + 1)}`;
}
