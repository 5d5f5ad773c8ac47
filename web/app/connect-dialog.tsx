import { useEffect, useId, useRef, useState, type SubmitEvent } from 'react';

import type { HoldfastClient } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { useReadable } from '../parts/use-readable.ts';
import { tokenIn } from './link-words.ts';

/** Asks for the token, over the page, while the engine does not know the one that is used. No token is ever shown. */
export function ConnectDialog({ client }: { client: HoldfastClient }) {
  const link = useReadable(client.link);
  const [text, setText] = useState('');
  const [hasTried, setHasTried] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  const isAsked = link.is === 'unauthorised';
  // not while it reconnects: then the engine is away, and the page says so by itself
  const isTrying = hasTried && link.is === 'connecting';
  useEffect(() => {
    if (link.is !== 'live') return;
    setHasTried(false);
    setText('');
  }, [link.is]);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const token = tokenIn(text);
    if (token === '') {
      field.current?.focus();
      return;
    }
    setHasTried(true);
    client.setToken(token);
  };
  const fault =
    isAsked && hasTried
      ? 'That is not the token of this engine.'
      : isAsked && link.hadToken
        ? 'The token that this browser remembered is not this engine’s any more.'
        : null;
  return (
    <Dialog
      title="Connect"
      isOpen={isAsked || isTrying}
      onClose={() => {}}
      isRequired
      initialFocus={field}
    >
      <form className="connect-dialog" onSubmit={submit}>
        <p className="connect-dialog-words">
          This page talks to your own engine, which asks for its token once. <code>npm start</code>{' '}
          prints an address that has it; or read it from the file that{' '}
          <code>holdfast status --json</code> calls <code>token</code>.
        </p>
        <div className="field">
          <label className="field-label" htmlFor={`${id}-token`}>
            Token
          </label>
          <input
            ref={field}
            id={`${id}-token`}
            className="input connect-dialog-token"
            type="text"
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            placeholder="The token, or the whole address"
            value={text}
            aria-invalid={fault !== null}
            aria-describedby={fault === null ? undefined : `${id}-fault`}
            onChange={(event) => setText(event.target.value)}
          />
          {fault !== null && (
            <span id={`${id}-fault`} className="field-problem" role="alert">
              {fault}
            </span>
          )}
        </div>
        <Button variant="primary" type="submit" disabled={isTrying}>
          {isTrying ? 'Connecting…' : 'Connect'}
        </Button>
      </form>
    </Dialog>
  );
}
