import { useId, useState, type SubmitEvent } from 'react';

import type { TeamHandle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { problemWords } from '../parts/problem-line.tsx';
import type { Agent } from './agent-rows.ts';

/** Writes to an agent in the name of the team's root; it stays open, with the text, until that is durable. */
export function WriteDialog({
  handle,
  from,
  to,
  onClose,
}: {
  handle: TeamHandle;
  from: Agent;
  to: Agent;
  onClose: () => void;
}) {
  const [content, setContent] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const id = useId();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy || content.trim() === '') return;
    setIsBusy(true);
    void handle.write(from.conversationId, { to: to.agentId, content }).then((outcome) => {
      setIsBusy(false);
      if (outcome.ok) onClose();
      else setProblem(problemWords(outcome.problem));
    });
  };
  return (
    <Dialog
      title={`Write to ${to.name}`}
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            variant="primary"
            type="submit"
            form={`${id}-form`}
            disabled={isBusy || content.trim() === ''}
          >
            Send
          </Button>
        </>
      }
    >
      <form id={`${id}-form`} className="form" onSubmit={submit}>
        <Field
          label="Mail"
          hint={`From ${from.name}. It waits in the queue while a turn runs.`}
          fault={problem ?? undefined}
        >
          {(field) => (
            <textarea
              {...field}
              className="input"
              rows={5}
              value={content}
              onChange={(event) => setContent(event.target.value)}
            />
          )}
        </Field>
      </form>
    </Dialog>
  );
}
