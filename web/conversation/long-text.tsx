import { memo, useLayoutEffect, useMemo, useRef, type ReactNode } from 'react';
import { VList } from 'virtua';

import { textChunks } from './text-chunks.ts';

/** Up to here a text is one element; beyond, what is in sight of it. */
export const WHOLE_CHARS = 24_000;
/** What is shown of a text that is still coming, from its end. */
const TAIL_CHARS = 12_000;
/** Closer to its end than this it follows it. */
const AT_END_PX = 24;

/**
 * Plain text of any length in a box that scrolls by itself: five megabytes cost what is seen of them. `isLive`: it is still
 * coming; then only its end is drawn, and it is followed unless somebody has scrolled away from it.
 */
export const LongText = memo(function LongText({
  text,
  label,
  isLive = false,
  render = asItIs,
  className = '',
}: {
  text: string;
  label: string;
  isLive?: boolean;
  /** How a piece is drawn. */
  render?: (piece: string) => ReactNode;
  className?: string;
}) {
  const isLong = text.length > WHOLE_CHARS;
  if (isLong && !isLive)
    return <ChunkedText text={text} label={label} render={render} className={className} />;
  const shown = isLive && text.length > TAIL_CHARS ? tail(text) : text;
  return (
    <FollowedText label={label} text={shown} isLive={isLive} className={className}>
      {shown.length < text.length && (
        <span className="long-text-cut">… what came before is shown when it has ended{'\n'}</span>
      )}
      {render(shown)}
    </FollowedText>
  );
});

const asItIs = (piece: string): ReactNode => piece;

/** From the beginning of a line, where one begins near. */
function tail(text: string): string {
  const end = text.slice(-TAIL_CHARS);
  const line = end.indexOf('\n');
  return line >= 0 && line < TAIL_CHARS / 2 ? end.slice(line + 1) : end.toWellFormed();
}

function FollowedText({
  label,
  text,
  isLive,
  className,
  children,
}: {
  label: string;
  text: string;
  isLive: boolean;
  className: string;
  children: ReactNode;
}) {
  const box = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    const element = box.current;
    if (isLive && isAtEnd.current && element !== null) element.scrollTop = element.scrollHeight;
  }, [text, isLive]);
  return (
    <pre
      ref={box}
      className={`long-text ${className}`}
      role="group"
      aria-label={label}
      // what scrolls must be reached by keys
      tabIndex={0}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        isAtEnd.current = scrollHeight - scrollTop - clientHeight < AT_END_PX;
      }}
    >
      {children}
    </pre>
  );
}

function ChunkedText({
  text,
  label,
  render,
  className,
}: {
  text: string;
  label: string;
  render: (piece: string) => ReactNode;
  className: string;
}) {
  const chunks = useMemo(() => textChunks(text), [text]);
  return (
    <VList
      className={`long-text long-text-chunked ${className}`}
      role="group"
      aria-label={label}
      tabIndex={0}
      data={chunks}
      itemSize={1_600}
      bufferSize={400}
    >
      {(chunk, index) => (
        <pre key={index} className="long-text-chunk">
          {/* the line feed that ends a piece begins the next element */}
          {render(chunk.replace(/\n$/u, ''))}
        </pre>
      )}
    </VList>
  );
}
