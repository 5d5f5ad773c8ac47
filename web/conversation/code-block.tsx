import { memo, useState } from 'react';

import { CopyButton } from '../parts/copy-button.tsx';
import { useHighlighted } from './highlight.ts';

/** A fence: its language, the whole text to copy, and the text, which takes the focus so that it can be scrolled by keys. */
export const CodeBlock = memo(function CodeBlock({
  text,
  language,
  isSealed,
}: {
  text: string;
  language: string | null;
  isSealed: boolean;
}) {
  const [isWrapped, setWrapped] = useState(false);
  const highlighted = useHighlighted(text, language, isSealed);
  return (
    <div className="code-block">
      <div className="code-block-header">
        <span className="code-block-language">{language ?? 'text'}</span>
        <button
          type="button"
          className="code-block-wrap"
          aria-pressed={isWrapped}
          onClick={() => setWrapped(!isWrapped)}
        >
          Wrap
        </button>
        <CopyButton size="s" label="Copy code" text={() => text} />
      </div>
      <pre
        className={isWrapped ? 'code-block-text code-block-wrapped' : 'code-block-text'}
        // what scrolls must be reached by keys
        tabIndex={0}
        role="group"
        aria-label={`Code, ${language ?? 'text'}`}
      >
        <code>{highlighted ?? text}</code>
      </pre>
    </div>
  );
});
