import { useId, useState, type SubmitEvent } from 'react';

import { TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import type { HoldfastClient } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { freshId } from '../parts/fresh-id.ts';
import { problemWords } from '../parts/problem-line.tsx';
import { providerName } from '../parts/provider-words.ts';
import { useProviders } from '../parts/use-providers.ts';

/** Makes a table: title, folder and provider; what is left empty is the engine's default. */
export function NewTableDialog({
  client,
  onMade,
  onClose,
}: {
  client: HoldfastClient;
  onMade: (tableId: string) => void;
  onClose: () => void;
}) {
  const providers = useProviders(client);
  // one id for all tries: a table whose answer was lost is not made twice
  const [tableId] = useState(freshId);
  const [title, setTitle] = useState('');
  const [workspacePath, setWorkspacePath] = useState('');
  const [chosen, setChosen] = useState<string | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const id = useId();
  const provider = chosen ?? providers[0]?.providerId ?? null;

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy) return;
    setIsBusy(true);
    const folder = workspacePath.trim();
    void client
      .createTable({
        tableId,
        title: title.trim() === '' ? 'My table' : title.trim(),
        ...(folder === '' ? {} : { workspacePath: folder }),
        ...(provider === null ? {} : { provider }),
      })
      .then((outcome) => {
        setIsBusy(false);
        if (outcome.ok) onMade(tableId);
        else setFault(problemWords(outcome.problem));
      });
  };
  return (
    <Dialog
      title="New table"
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" type="submit" form={`${id}-form`} disabled={isBusy}>
            Create table
          </Button>
        </>
      }
    >
      <form id={`${id}-form`} className="form" onSubmit={submit}>
        <p className="form-words">
          Conversations about one thing, in one folder. One of them works at a time.
        </p>
        <div className="field">
          <label className="field-label" htmlFor={`${id}-title`}>
            Title
          </label>
          <input
            id={`${id}-title`}
            className="input"
            maxLength={TITLE_LIMIT_CHARS}
            placeholder="My table"
            value={title}
            onChange={(event) => setTitle(event.target.value)}
          />
        </div>
        <div className="field">
          <label className="field-label" htmlFor={`${id}-folder`}>
            Workspace folder
          </label>
          <input
            id={`${id}-folder`}
            className="input"
            spellCheck={false}
            autoCapitalize="off"
            placeholder="The engine’s default"
            value={workspacePath}
            onChange={(event) => setWorkspacePath(event.target.value)}
          />
        </div>
        {providers.length > 0 && (
          <div className="field">
            <label className="field-label" htmlFor={`${id}-provider`}>
              Provider
            </label>
            <select
              id={`${id}-provider`}
              className="input"
              value={provider ?? ''}
              onChange={(event) => setChosen(event.target.value)}
            >
              {providers.map(({ providerId }) => (
                <option key={providerId} value={providerId}>
                  {providerName(providerId)}
                </option>
              ))}
            </select>
          </div>
        )}
        {fault !== null && (
          <p className="field-problem" role="alert">
            {fault}
          </p>
        )}
      </form>
    </Dialog>
  );
}
