import { useId, useLayoutEffect, useRef } from 'react';

import { Button } from '../parts/button.tsx';
import { isComposing } from '../parts/composing.ts';
import { promptProblem } from './prompt-limits.ts';

/** Grows with its text where the browser does not do it by itself (`field-sizing`). */
export function useAutosize(text: string) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const element = area.current;
    if (element === null || CSS.supports('field-sizing', 'content')) return;
    element.style.height = 'auto';
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);
  return area;
}

/** A text being changed in its place. Enter saves, Escape gives it up; what cannot be sent is not saved. */
export function InlineEditor({
  label,
  text,
  saveLabel,
  takesFocus,
  onChange,
  onSave,
  onCancel,
}: {
  label: string;
  text: string;
  saveLabel: string;
  /** Asked once, when it is drawn. */
  takesFocus: () => boolean;
  onChange: (text: string) => void;
  onSave: () => void;
  onCancel: () => void;
}) {
  const area = useAutosize(text);
  const problemId = useId();
  const problem = promptProblem(text);
  const canSave = problem === null && text.trim() !== '';
  const shallFocus = useRef(takesFocus);
  useLayoutEffect(() => {
    const element = area.current;
    if (!shallFocus.current()) return;
    element?.focus();
    element?.setSelectionRange(element.value.length, element.value.length);
    // once the list around it knows how large it is
    const frame = requestAnimationFrame(() => element?.form?.scrollIntoView({ block: 'nearest' }));
    return () => cancelAnimationFrame(frame);
  }, [area]);
  return (
    <form
      className="inline-editor"
      onSubmit={(event) => {
        event.preventDefault();
        if (canSave) onSave();
      }}
    >
      <textarea
        ref={area}
        className="inline-editor-text"
        aria-label={label}
        aria-invalid={problem !== null}
        aria-describedby={problem === null ? undefined : problemId}
        value={text}
        rows={1}
        onChange={({ target }) => onChange(target.value)}
        onKeyDown={(event) => {
          if (isComposing(event)) return;
          if (event.key === 'Escape') {
            event.stopPropagation();
            onCancel();
          } else if (event.key === 'Enter' && !event.shiftKey) {
            event.preventDefault();
            if (canSave) onSave();
          }
        }}
      />
      {problem !== null && (
        <p id={problemId} role="alert" className="inline-editor-problem">
          {problem}
        </p>
      )}
      <div className="inline-editor-buttons">
        <Button size="s" onClick={onCancel}>
          Cancel
        </Button>
        <Button size="s" variant="primary" type="submit" disabled={!canSave}>
          {saveLabel}
        </Button>
      </div>
    </form>
  );
}
