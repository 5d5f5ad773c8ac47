import { useCallback, useEffect, useRef, useState } from 'react';

import type { MailRowValue } from '../../src/contracts/agents.ts';
import type { Problem, TeamHandle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { ProblemLine, problemWords } from '../parts/problem-line.tsx';
import { Ago } from '../parts/time.tsx';
import type { Agent } from './agent-rows.ts';
import { canResend, MAIL_KIND_WORDS, MAIL_STATE_WORDS, mailAt, reasonWords } from './mail-words.ts';

type Box = 'in' | 'out' | 'any';
const BOXES: readonly { box: Box; words: string }[] = [
  { box: 'in', words: 'Received' },
  { box: 'out', words: 'Sent' },
  { box: 'any', words: 'Both' },
];

type Mail = {
  items: readonly MailRowValue[];
  cursor: string | null;
  is: 'loading' | 'ready';
  problem: Problem | null;
};

/** The mail of one agent, oldest first as the engine gives it; read again when the team says that some of it has changed. */
export function Mailbox({
  handle,
  agent,
  nameOf,
}: {
  handle: TeamHandle;
  agent: Agent;
  nameOf: (address: string) => string;
}) {
  const { conversationId } = agent;
  const [box, setBox] = useState<Box>('in');
  const [mail, setMail] = useState<Mail>({ items: [], cursor: null, is: 'loading', problem: null });
  const [refusal, setRefusal] = useState<string | null>(null);
  const asked = useRef(0);
  const read = useCallback(
    (before: readonly MailRowValue[], cursor: string | null) => {
      asked.current += 1;
      const mine = asked.current;
      setMail((now) => ({ ...now, is: 'loading' }));
      const request = cursor === null ? { box } : { box, cursor };
      void handle.mailbox(conversationId, request).then((outcome) => {
        if (mine !== asked.current) return;
        if (!outcome.ok) {
          setMail((now) => ({ ...now, is: 'ready', problem: outcome.problem }));
        } else if ('value' in outcome) {
          const { items, nextCursor } = outcome.value;
          setMail({ items: [...before, ...items], cursor: nextCursor, is: 'ready', problem: null });
        }
      });
    },
    [handle, conversationId, box],
  );
  // its counts move with every state of its own mail; what it has sent, with what happens in it
  const moment = `${Object.values(agent.mail).join(' ')} ${agent.lastAt}`;
  useEffect(() => {
    read([], null);
    return () => {
      asked.current += 1;
    };
  }, [read, moment]);

  const resend = (row: MailRowValue) => {
    setRefusal(null);
    void handle.resend(row.toConversationId, row).then((outcome) => {
      if (outcome.ok) read([], null);
      else setRefusal(problemWords(outcome.problem));
    });
  };
  return (
    <section className="mailbox" aria-label="Mailbox">
      <div className="chips" role="group" aria-label="Mail">
        {BOXES.map(({ box: each, words }) => (
          <button
            key={each}
            type="button"
            className="chip"
            aria-pressed={box === each}
            onClick={() => {
              setBox(each);
              setMail({ items: [], cursor: null, is: 'loading', problem: null });
            }}
          >
            {words}
          </button>
        ))}
      </div>
      {mail.problem !== null && (
        <ProblemLine problem={mail.problem} onRetry={() => read([], null)} />
      )}
      {refusal !== null && (
        <p className="problem-line" role="alert">
          {refusal}
        </p>
      )}
      {mail.items.length === 0 && mail.problem === null && (
        <p className="panel-empty">{mail.is === 'loading' ? 'Loading…' : 'No mail.'}</p>
      )}
      <ul className="mail-list" aria-label="Mail">
        {mail.items.map((row) => (
          <li key={`${row.fromConversationId ?? ''} ${row.toConversationId} ${row.messageId}`}>
            <MailItem row={row} box={box} nameOf={nameOf} onResend={() => resend(row)} />
          </li>
        ))}
      </ul>
      {mail.cursor !== null && (
        <Button
          size="s"
          disabled={mail.is === 'loading'}
          onClick={() => read(mail.items, mail.cursor)}
        >
          Load more
        </Button>
      )}
    </section>
  );
}

/** Of one's own box the other party alone. */
function partiesWords(row: MailRowValue, box: Box, nameOf: (address: string) => string): string {
  const from = row.from === null ? 'Holdfast' : nameOf(row.from);
  if (box === 'in') return `From ${from}`;
  return box === 'out' ? `To ${nameOf(row.to)}` : `${from} → ${nameOf(row.to)}`;
}

function MailItem({
  row,
  box,
  nameOf,
  onResend,
}: {
  row: MailRowValue;
  box: Box;
  nameOf: (address: string) => string;
  onResend: () => void;
}) {
  const { words, tone } = MAIL_STATE_WORDS[row.state];
  const reason = reasonWords(row);
  return (
    <article className="mail-item">
      <header className="mail-item-header">
        <span className="mail-item-names">{partiesWords(row, box, nameOf)}</span>
        <span className={`badge badge-${tone}`}>{words}</span>
      </header>
      <p className="mail-item-content">{row.content}</p>
      <footer className="mail-item-foot">
        <span>
          {MAIL_KIND_WORDS[row.kind]}
          {row.outcome === undefined ? '' : ` (${row.outcome})`}, <Ago at={mailAt(row)} />
          {reason !== null && `, ${reason}`}
        </span>
        {canResend(row) && (
          <Button size="s" onClick={onResend}>
            <Icon name="retry" size={15} />
            Send again
          </Button>
        )}
      </footer>
    </article>
  );
}
