import { useId, useState, type SubmitEvent } from 'react';

import { TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import type { HoldfastClient, TeamHandle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { freshId } from '../parts/fresh-id.ts';
import { problemWords } from '../parts/problem-line.tsx';
import { providerName } from '../parts/provider-words.ts';
import { useProviders } from '../parts/use-providers.ts';
import type { Agent } from './agent-rows.ts';

/** Makes an agent below another one. */
export function SpawnDialog({
  client,
  handle,
  parent,
  onClose,
}: {
  client: HoldfastClient;
  handle: TeamHandle;
  parent: Agent;
  onClose: () => void;
}) {
  const providers = useProviders(client);
  // one id for all tries: an agent whose answer was lost is not made twice
  const [agentId] = useState(freshId);
  const [name, setName] = useState('');
  const [role, setRole] = useState('');
  const [content, setContent] = useState('');
  const [provider, setProvider] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const id = useId();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy || name.trim() === '') return;
    setIsBusy(true);
    const asked = handle.spawn(parent.conversationId, {
      agentId,
      name: name.trim(),
      ...(role.trim() === '' ? {} : { role: role.trim() }),
      ...(provider === '' ? {} : { provider }),
      ...(content.trim() === '' ? {} : { content }),
    });
    void asked.then((outcome) => {
      setIsBusy(false);
      if (outcome.ok) onClose();
      else setProblem(problemWords(outcome.problem));
    });
  };
  return (
    <Dialog
      title={`Spawn an agent below ${parent.name}`}
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            variant="primary"
            type="submit"
            form={`${id}-form`}
            disabled={isBusy || name.trim() === ''}
          >
            Spawn
          </Button>
        </>
      }
    >
      <form id={`${id}-form`} className="form" onSubmit={submit}>
        <Field label="Name">
          {(field) => (
            <input
              {...field}
              className="input"
              maxLength={TITLE_LIMIT_CHARS}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label="First task" hint="Without one it waits until somebody writes to it.">
          {(field) => (
            <textarea
              {...field}
              className="input"
              rows={4}
              value={content}
              onChange={(event) => setContent(event.target.value)}
            />
          )}
        </Field>
        <Field label="Role" hint="Optional.">
          {(field) => (
            <input
              {...field}
              className="input"
              maxLength={TITLE_LIMIT_CHARS}
              value={role}
              onChange={(event) => setRole(event.target.value)}
            />
          )}
        </Field>
        {providers.length > 1 && (
          <Field label="Provider">
            {(field) => (
              <select
                {...field}
                className="input"
                value={provider}
                onChange={(event) => setProvider(event.target.value)}
              >
                <option value="">As {parent.name}</option>
                {providers.map(({ providerId }) => (
                  <option key={providerId} value={providerId}>
                    {providerName(providerId)}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        {problem !== null && (
          <p className="field-problem" role="alert">
            {problem}
          </p>
        )}
      </form>
    </Dialog>
  );
}
