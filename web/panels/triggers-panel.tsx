import { useState } from 'react';

import type { TriggerViewValue } from '../../src/contracts/triggers.ts';
import type { HoldfastClient, Outcome, TriggersHandle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { ProblemLine, problemWords } from '../parts/problem-line.tsx';
import { useOpened } from '../parts/use-opened.ts';
import { useReadable } from '../parts/use-readable.ts';
import { ConfirmDialog } from './confirm-dialog.tsx';
import { Ledger } from './ledger.tsx';
import { TriggerCard } from './trigger-card.tsx';
import { TriggerFormDialog } from './trigger-form-dialog.tsx';

type Open =
  | { is: 'none' }
  | { is: 'form'; trigger: TriggerViewValue | null }
  | { is: 'remove'; trigger: TriggerViewValue }
  | { is: 'ledger'; triggerId: string };

/** All triggers, those of what is shown first; one's ledger in their place. */
export function TriggersPanel({
  client,
  tableId,
  conversationId,
  onOpenConversation,
}: {
  client: HoldfastClient;
  tableId: string | null;
  conversationId: string | null;
  onOpenConversation: (conversationId: string) => void;
}) {
  const handle = useOpened('triggers', () => client.openTriggers());
  if (handle === null) return null;
  return (
    <Triggers
      handle={handle}
      tableId={tableId}
      conversationId={conversationId}
      onOpenConversation={onOpenConversation}
    />
  );
}

function Triggers({
  handle,
  tableId,
  conversationId,
  onOpenConversation,
}: {
  handle: TriggersHandle;
  tableId: string | null;
  conversationId: string | null;
  onOpenConversation: (conversationId: string) => void;
}) {
  const { items, is, problem } = useReadable(handle);
  const [open, setOpen] = useState<Open>({ is: 'none' });
  const [refusal, setRefusal] = useState<string | null>(null);
  const close = () => setOpen({ is: 'none' });
  const perform = (asked: Promise<Outcome<unknown>>) => {
    setRefusal(null);
    void asked.then((outcome) => {
      if (!outcome.ok) setRefusal(problemWords(outcome.problem));
    });
  };
  if (open.is === 'ledger') {
    const trigger = items.find((each) => each.triggerId === open.triggerId);
    return (
      <Ledger
        handle={handle}
        triggerId={open.triggerId}
        trigger={trigger ?? null}
        onBack={close}
        onOpenConversation={onOpenConversation}
      />
    );
  }
  const isHere = (trigger: TriggerViewValue) =>
    (trigger.conversationId !== null && trigger.conversationId === conversationId) ||
    (trigger.tableId !== null && trigger.tableId === tableId);
  const shown = [...items.filter(isHere), ...items.filter((trigger) => !isHere(trigger))];
  return (
    <div className="triggers">
      <div className="panel-tools">
        <p className="panel-words">
          Messages that are sent by the clock. Each due time has a row that says what became of it.
        </p>
        <Button
          variant="primary"
          disabled={tableId === null && conversationId === null}
          onClick={() => setOpen({ is: 'form', trigger: null })}
        >
          <Icon name="plus" size={16} />
          New trigger
        </Button>
      </div>
      {refusal !== null && (
        <p className="problem-line" role="alert">
          {refusal}
        </p>
      )}
      {is === 'failed' && problem !== null && <ProblemLine problem={problem} />}
      {is === 'loading' && items.length === 0 && <p className="panel-empty">Loading…</p>}
      {is === 'ready' && items.length === 0 && (
        <p className="panel-empty">
          No triggers yet. A nightly report, a check every hour, a reminder once.
        </p>
      )}
      <ul className="trigger-list" aria-label="Triggers">
        {shown.map((trigger) => (
          <li key={trigger.triggerId}>
            <TriggerCard
              trigger={trigger}
              isHere={isHere(trigger)}
              onEdit={() => setOpen({ is: 'form', trigger })}
              onPause={() => perform(handle.patch(trigger.triggerId, { paused: !trigger.paused }))}
              onFire={() => perform(handle.fire(trigger.triggerId))}
              onRemove={() => setOpen({ is: 'remove', trigger })}
              onLedger={() => setOpen({ is: 'ledger', triggerId: trigger.triggerId })}
              onOpenConversation={onOpenConversation}
            />
          </li>
        ))}
      </ul>
      {open.is === 'form' && (
        <TriggerFormDialog
          handle={handle}
          trigger={open.trigger}
          target={{ tableId, conversationId }}
          onClose={close}
        />
      )}
      {open.is === 'remove' && (
        <ConfirmDialog
          title="Remove trigger"
          action="Remove"
          words="Nothing is due any more from now on. Its ledger stays readable from the command line."
          onClose={close}
          onConfirm={() => {
            close();
            perform(handle.remove(open.trigger.triggerId));
          }}
        />
      )}
    </div>
  );
}
