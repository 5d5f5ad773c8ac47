import type { TriggerViewValue } from '../../src/contracts/triggers.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Menu, type MenuItem } from '../parts/menu.tsx';
import { Ago } from '../parts/time.tsx';
import { countsWords, OUTCOME_WORDS, outcomeTone } from './ledger-words.ts';
import { ownZone, scheduleWords, zoneWords } from './schedule-words.ts';

/** One trigger: what it sends and when, when it is due next, how the last time went, and what went wrong last. */
export function TriggerCard({
  trigger,
  isHere,
  onEdit,
  onPause,
  onFire,
  onRemove,
  onLedger,
  onOpenConversation,
}: {
  trigger: TriggerViewValue;
  /** It sends to what is shown. */
  isHere: boolean;
  onEdit: () => void;
  onPause: () => void;
  onFire: () => void;
  onRemove: () => void;
  onLedger: () => void;
  onOpenConversation: (conversationId: string) => void;
}) {
  const { conversationId, schedule, paused, last } = trigger;
  const title = trigger.title === '' ? firstLine(trigger.content) : trigger.title;
  const zone = zoneWords(schedule, ownZone());
  const items: MenuItem[] = [
    { label: 'Run now', icon: 'bolt', onSelect: onFire },
    { label: 'Edit…', icon: 'edit', onSelect: onEdit },
    ...(conversationId === null || isHere
      ? []
      : [
          {
            label: 'Open its conversation',
            icon: 'external' as const,
            onSelect: () => onOpenConversation(conversationId),
          },
        ]),
    { label: 'Remove…', icon: 'trash', danger: true, separated: true, onSelect: onRemove },
  ];
  return (
    <article className="trigger-card" data-paused={paused} aria-label={title}>
      <header className="trigger-card-header">
        <h3 className="trigger-card-title">{title}</h3>
        <IconButton
          label={paused ? `Resume ${title}` : `Pause ${title}`}
          title={paused ? 'Resume' : 'Pause'}
          icon={paused ? 'play' : 'pause'}
          size="s"
          onClick={onPause}
        />
        <Menu
          label={`Actions for ${title}`}
          trigger={<Icon name="more" size={17} />}
          items={items}
        />
      </header>
      {trigger.title !== '' && <p className="trigger-card-content">{firstLine(trigger.content)}</p>}
      <dl className="facts">
        <div>
          <dt>Schedule</dt>
          <dd>
            {scheduleWords(schedule)}
            {zone !== null && <span className="facts-more"> {zone}</span>}
          </dd>
        </div>
        <div>
          <dt>Next</dt>
          <dd>{nextWords(trigger)}</dd>
        </div>
        <div>
          <dt>Last</dt>
          <dd>{last === null ? 'never' : <LastWords row={last} />}</dd>
        </div>
        <div>
          <dt>So far</dt>
          <dd>{countsWords(trigger.counts)}</dd>
        </div>
        <div>
          <dt>Sends to</dt>
          <dd>{targetWords(trigger, isHere)}</dd>
        </div>
      </dl>
      <Trouble trigger={trigger} />
      <Button size="s" className="trigger-card-ledger" onClick={onLedger}>
        Ledger
      </Button>
    </article>
  );
}

function nextWords({ paused, nextDueAt }: TriggerViewValue) {
  if (paused) return <span className="badge">paused</span>;
  return nextDueAt === null ? 'not any more' : <Ago at={nextDueAt} />;
}

function LastWords({ row }: { row: NonNullable<TriggerViewValue['last']> }) {
  return (
    <>
      <span className={`badge badge-${outcomeTone(row)}`}>{OUTCOME_WORDS[row.outcome]}</span>{' '}
      <Ago at={row.dueAt} />
    </>
  );
}

function Trouble({ trigger: { trouble } }: { trigger: TriggerViewValue }) {
  if (trouble === null) return null;
  return (
    <p className="trigger-card-trouble" data-tone={outcomeTone(trouble)}>
      <Icon name="warning" size={16} />
      <span>
        {OUTCOME_WORDS[trouble.outcome]} <Ago at={trouble.dueAt} />: {trouble.words}
      </span>
    </p>
  );
}

function targetWords({ tableId, newConversation }: TriggerViewValue, isHere: boolean): string {
  const which = isHere ? 'this' : 'another';
  if (tableId === null) return `${which} conversation`;
  return newConversation ? `a new conversation of ${which} table` : `${which} table`;
}

function firstLine(text: string): string {
  const line = text.trim().split('\n', 1)[0] ?? '';
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
