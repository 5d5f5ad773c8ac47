import { useId, useState, type SubmitEvent } from 'react';

import { TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import type { Outcome } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { problemWords } from '../parts/problem-line.tsx';

/** Asks for a title. It stays open, with what was typed, until the engine has taken it. */
export function TextDialog({
  title,
  label,
  initial,
  action,
  onSubmit,
  onClose,
}: {
  title: string;
  label: string;
  initial: string;
  action: string;
  onSubmit: (text: string) => Promise<Outcome<unknown>>;
  onClose: () => void;
}) {
  const [text, setText] = useState(initial);
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const id = useId();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (text.trim() === '' || isBusy) return;
    setIsBusy(true);
    void onSubmit(text.trim()).then((outcome) => {
      setIsBusy(false);
      if (outcome.ok) onClose();
      else setFault(problemWords(outcome.problem));
    });
  };
  return (
    <Dialog
      title={title}
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            variant="primary"
            type="submit"
            form={`${id}-form`}
            disabled={isBusy || text.trim() === ''}
          >
            {action}
          </Button>
        </>
      }
    >
      <form id={`${id}-form`} onSubmit={submit}>
        <div className="field">
          <label className="field-label" htmlFor={`${id}-text`}>
            {label}
          </label>
          <input
            id={`${id}-text`}
            className="input"
            maxLength={TITLE_LIMIT_CHARS}
            value={text}
            onFocus={(event) => event.target.select()}
            onChange={(event) => setText(event.target.value)}
          />
          {fault !== null && (
            <span className="field-problem" role="alert">
              {fault}
            </span>
          )}
        </div>
      </form>
    </Dialog>
  );
}
