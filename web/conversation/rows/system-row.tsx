import type { MailMarkValue } from '../../../src/contracts/events.ts';
import type { MessageViewValue } from '../../../src/contracts/view.ts';
import { CopyButton } from '../../parts/copy-button.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Ago } from '../../parts/time.tsx';
import { useChoice, useConversation } from '../conversation-context.ts';
import { LongText } from '../long-text.tsx';
import { mailParts } from '../mail-parts.ts';
import { Markdown } from '../markdown.tsx';
import { mailWords, sizeText } from '../words.ts';

/** Beyond this a letter is folded. */
const FOLD_CHARS = 1_200;
/** Beyond this it is not parsed: plain text of any length is cheap. */
const MARKDOWN_CHARS = 16_000;

/** What was said to the assistant by somebody who is not the user: mail of agents, what Holdfast tells after an interruption. */
export function SystemRow({ rowKey, message }: { rowKey: string; message: MessageViewValue }) {
  const { mail = [], content, at } = message;
  const parts = mailParts(content);
  return (
    <div className="system-row">
      {parts.map((part, index) => (
        <Letter
          key={index}
          name={`${rowKey} ${index}`}
          heading={part.heading}
          body={part.body}
          mark={mail[index] ?? mail[0]}
          at={at}
        />
      ))}
    </div>
  );
}

function Letter({
  name,
  heading,
  body,
  mark,
  at,
}: {
  name: string;
  heading: string | null;
  body: string;
  mark: MailMarkValue | undefined;
  at: string;
}) {
  const { openConversation } = useConversation();
  const isLong = body.length > FOLD_CHARS;
  const [isOpen = false, setOpen] = useChoice(`letter ${name}`);
  const kind = mark?.kind;
  const from = mark?.from ?? null;
  return (
    <section className={`letter letter-${kind ?? 'note'}`}>
      <header className="letter-header">
        <Icon name={kind === 'recovery' ? 'bolt' : kind === undefined ? 'why' : 'mail'} size={16} />
        <span className="letter-title">
          {heading ?? (kind === undefined ? 'Holdfast' : mailWords(kind))}
        </span>
        <Ago at={at} />
        {from !== null && (
          <button type="button" className="link-button" onClick={() => openConversation(from)}>
            Open agent
          </button>
        )}
        <CopyButton size="s" text={() => body} />
      </header>
      {body !== '' && <LetterBody text={body} isFolded={isLong && !isOpen} />}
      {isLong && (
        <button type="button" className="link-button" onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'Show less' : `Show all (${sizeText(body.length)})`}
        </button>
      )}
    </section>
  );
}

function LetterBody({ text, isFolded }: { text: string; isFolded: boolean }) {
  if (isFolded) return <p className="letter-folded">{`${text.slice(0, 400).toWellFormed()}…`}</p>;
  return text.length > MARKDOWN_CHARS ? (
    <LongText text={text} label="Message" />
  ) : (
    <Markdown text={text} />
  );
}
