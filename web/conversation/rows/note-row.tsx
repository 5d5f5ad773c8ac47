import type { Note } from '../../client/contract.ts';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { fullWords } from '../../parts/time-words.ts';
import { useConversation } from '../conversation-context.ts';
import { noteWords } from '../words.ts';

const ICONS: Readonly<Record<Note['kind'], IconName>> = {
  attached: 'bolt',
  notice: 'why',
  retrying: 'retry',
  trigger: 'clock',
  steered: 'up',
  agent: 'agents',
};

/** A quiet line. */
export function NoteRow({ note }: { note: Note }) {
  const { openPanel, openConversation } = useConversation();
  const { kind, text, link, at } = note;
  const open =
    kind === 'trigger'
      ? { label: 'Show triggers', go: () => openPanel('triggers') }
      : kind === 'agent' && link !== undefined
        ? { label: 'Open', go: () => openConversation(link) }
        : null;
  return (
    <div className="note-row" title={fullWords(Date.parse(at))}>
      <Icon name={ICONS[kind]} size={14} />
      <span>
        <span className="visually-hidden">{noteWords(kind)}: </span>
        {text}
      </span>
      {open !== null && link !== undefined && (
        <button type="button" className="link-button" onClick={open.go}>
          {open.label}
        </button>
      )}
    </div>
  );
}

/** Where the history was cut. */
export function CutRow({ name, count, isOpen }: { name: string; count: number; isOpen: boolean }) {
  const { handle } = useConversation();
  return (
    <div className="cut-row">
      <button
        type="button"
        className="disclosure"
        aria-expanded={isOpen}
        onClick={() => handle.showCut(name, !isOpen)}
      >
        <Icon name="chevron" size={16} />
        <span className="disclosure-title">
          {count === 1 ? '1 message was cut' : `${count} messages were cut`} from the history
        </span>
        <span className="disclosure-preview">{isOpen ? 'Hide' : 'Show'}</span>
      </button>
    </div>
  );
}
