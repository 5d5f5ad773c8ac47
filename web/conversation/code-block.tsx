import { createContext, memo, useContext, useState } from 'react';

import { CopyButton } from '../parts/copy-button.tsx';
import { useChoice } from './conversation-context.ts';
import { useHighlighted } from './highlight.ts';

/** Where in a fence of many rows a piece stands. `code`: of all of them. */
export type PieceOfFence = { key: string; isFirst: boolean; goesOn: boolean; code: () => string };

/** Of what is drawn within it: all of it is one piece. Null: its fences are whole. */
export const Piece = createContext<PieceOfFence | null>(null);

type Code = { text: string; language: string | null; isSealed: boolean };

/** A fence: its language, the whole text to copy, and the text, which takes the focus so that it can be scrolled by keys. */
export const CodeBlock = memo(function CodeBlock(code: Code) {
  const piece = useContext(Piece);
  return piece === null ? <WholeFence {...code} /> : <FencePart {...code} piece={piece} />;
});

function WholeFence(code: Code) {
  const [isWrapped, setWrapped] = useState(false);
  return (
    <div className="code-block">
      <CodeHeader
        language={code.language}
        isWrapped={isWrapped}
        onWrap={setWrapped}
        text={() => code.text}
      />
      <CodeText {...code} isWrapped={isWrapped} />
    </div>
  );
}

/** Drawn so that it goes on from the row above it, and into the row below. */
function FencePart({ piece, ...code }: Code & { piece: PieceOfFence }) {
  const [isWrapped = false, setWrapped] = useChoice(`wrap ${piece.key}`);
  const classes = ['code-block'];
  if (!piece.isFirst) classes.push('code-block-continued');
  if (piece.goesOn) classes.push('code-block-goes-on');
  return (
    <div className={classes.join(' ')}>
      {piece.isFirst && (
        <CodeHeader
          language={code.language}
          isWrapped={isWrapped}
          onWrap={setWrapped}
          text={piece.code}
        />
      )}
      <CodeText {...code} isWrapped={isWrapped} />
    </div>
  );
}

function CodeHeader({
  language,
  isWrapped,
  onWrap,
  text,
}: {
  language: string | null;
  isWrapped: boolean;
  onWrap: (isWrapped: boolean) => void;
  text: () => string;
}) {
  return (
    <div className="code-block-header">
      <span className="code-block-language">{language ?? 'text'}</span>
      <button
        type="button"
        className="code-block-wrap"
        aria-pressed={isWrapped}
        onClick={() => onWrap(!isWrapped)}
      >
        Wrap
      </button>
      <CopyButton size="s" label="Copy code" text={text} />
    </div>
  );
}

function CodeText({ text, language, isSealed, isWrapped }: Code & { isWrapped: boolean }) {
  const highlighted = useHighlighted(text, language, isSealed);
  return (
    <pre
      className={isWrapped ? 'code-block-text code-block-wrapped' : 'code-block-text'}
      // what scrolls must be reached by keys
      tabIndex={0}
      role="group"
      aria-label={`Code, ${language ?? 'text'}`}
    >
      <code>{highlighted ?? text}</code>
    </pre>
  );
}
