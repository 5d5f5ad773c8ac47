import { useId, useState, type SubmitEvent } from 'react';

import { TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import type { TriggerViewValue } from '../../src/contracts/triggers.ts';
import type { TriggersHandle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { freshId } from '../parts/fresh-id.ts';
import { problemWords } from '../parts/problem-line.tsx';
import { cronWords, ownZone } from './schedule-words.ts';
import {
  createBody,
  emptyForm,
  faultsOf,
  formOf,
  patchBody,
  UNIT_MS,
  type Faults,
  type Target,
  type TriggerForm,
} from './trigger-form.ts';

const KINDS = [
  { kind: 'every', label: 'Every …' },
  { kind: 'at', label: 'Once' },
  { kind: 'cron', label: 'Cron' },
] as const;

/** Makes a trigger, or changes `trigger`. It stays open, with all that was typed, until the engine has taken it. */
export function TriggerFormDialog({
  handle,
  trigger,
  target,
  onClose,
}: {
  handle: TriggersHandle;
  trigger: TriggerViewValue | null;
  target: Target;
  onClose: () => void;
}) {
  const [form, setForm] = useState(() =>
    trigger === null ? emptyForm(ownZone(), target) : formOf(trigger),
  );
  const [triggerId] = useState(freshId);
  const [wasTried, setWasTried] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const id = useId();
  const faults = wasTried ? faultsOf(form) : {};
  const change = (part: Partial<TriggerForm>) => setForm((now) => ({ ...now, ...part }));

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setWasTried(true);
    if (isBusy || Object.keys(faultsOf(form)).length > 0) return;
    const body = trigger === null ? null : patchBody(form, trigger);
    if (trigger !== null && body === null) {
      onClose();
      return;
    }
    setIsBusy(true);
    setProblem(null);
    const asked =
      trigger === null || body === null
        ? handle.create(createBody(form, target, triggerId))
        : handle.patch(trigger.triggerId, body);
    void asked.then((outcome) => {
      setIsBusy(false);
      if (outcome.ok) onClose();
      else setProblem(problemWords(outcome.problem));
    });
  };
  return (
    <Dialog
      title={trigger === null ? 'New trigger' : 'Edit trigger'}
      isOpen
      onClose={onClose}
      className="trigger-dialog"
      footer={
        <>
          {problem !== null && (
            <p className="field-problem trigger-dialog-problem" role="alert">
              {problem}
            </p>
          )}
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" type="submit" form={`${id}-form`} disabled={isBusy}>
            {trigger === null ? 'Create trigger' : 'Save'}
          </Button>
        </>
      }
    >
      <form id={`${id}-form`} className="form" noValidate onSubmit={submit}>
        <Field label="Message" fault={faults.content}>
          {(field) => (
            <textarea
              {...field}
              className="input"
              rows={3}
              value={form.content}
              onChange={(event) => change({ content: event.target.value })}
            />
          )}
        </Field>
        <ScheduleFields form={form} faults={faults} change={change} />
        {trigger === null && <TargetFields form={form} target={target} change={change} />}
        {trigger !== null && trigger.tableId !== null && (
          <NewConversationField form={form} change={change} />
        )}
        <PolicyFields form={form} faults={faults} change={change} />
        <Field label="Title" hint="Optional.">
          {(field) => (
            <input
              {...field}
              className="input"
              maxLength={TITLE_LIMIT_CHARS}
              value={form.title}
              onChange={(event) => change({ title: event.target.value })}
            />
          )}
        </Field>
      </form>
    </Dialog>
  );
}

type Fields = {
  form: TriggerForm;
  faults: Faults;
  change: (part: Partial<TriggerForm>) => void;
};

function ScheduleFields({ form, faults, change }: Fields) {
  const name = useId();
  return (
    <fieldset className="fieldset">
      <legend className="field-label">When</legend>
      <div className="segments">
        {KINDS.map(({ kind, label }) => (
          <label key={kind} className="segment">
            <input
              type="radio"
              name={name}
              checked={form.kind === kind}
              onChange={() => change({ kind })}
            />
            {label}
          </label>
        ))}
      </div>
      {form.kind === 'every' && (
        <div className="form-pair">
          <Field label="Number" fault={faults.everyCount}>
            {(field) => (
              <input
                {...field}
                className="input"
                inputMode="decimal"
                value={form.everyCount}
                onChange={(event) => change({ everyCount: event.target.value })}
              />
            )}
          </Field>
          <Field label="Unit">
            {(field) => (
              <select
                {...field}
                className="input"
                value={form.everyUnit}
                onChange={(event) => {
                  const unit = event.target.value;
                  if (isUnit(unit)) change({ everyUnit: unit });
                }}
              >
                {Object.keys(UNIT_MS).map((unit) => (
                  <option key={unit}>{unit}</option>
                ))}
              </select>
            )}
          </Field>
        </div>
      )}
      {form.kind === 'at' && (
        <Field label="Date and time" fault={faults.at}>
          {(field) => (
            <input
              {...field}
              className="input"
              // one with an offset, or in words that no picker makes, is edited as it is written
              type={
                /^$|^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(form.at) ? 'datetime-local' : 'text'
              }
              value={form.at}
              onChange={(event) => change({ at: event.target.value })}
            />
          )}
        </Field>
      )}
      {form.kind === 'cron' && (
        <Field
          label="Cron"
          fault={faults.cron}
          hint={cronWords(form.cron) ?? 'Minute, hour, day, month, weekday.'}
        >
          {(field) => (
            <input
              {...field}
              className="input form-mono"
              spellCheck={false}
              autoCapitalize="off"
              value={form.cron}
              onChange={(event) => change({ cron: event.target.value })}
            />
          )}
        </Field>
      )}
      {form.kind !== 'every' && <ZoneField form={form} change={change} />}
    </fieldset>
  );
}

function ZoneField({ form, change }: Omit<Fields, 'faults'>) {
  const list = useId();
  return (
    <Field label="Time zone">
      {(field) => (
        <>
          <input
            {...field}
            className="input"
            list={list}
            spellCheck={false}
            value={form.timezone}
            onChange={(event) => change({ timezone: event.target.value })}
          />
          <datalist id={list}>
            {Intl.supportedValuesOf('timeZone').map((zone) => (
              <option key={zone} value={zone} />
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}

function TargetFields({
  form,
  target,
  change,
}: {
  form: TriggerForm;
  target: Target;
  change: (part: Partial<TriggerForm>) => void;
}) {
  const name = useId();
  return (
    <fieldset className="fieldset">
      <legend className="field-label">Sends it to</legend>
      <div className="segments">
        {target.conversationId !== null && (
          <label className="segment">
            <input
              type="radio"
              name={name}
              checked={form.target === 'conversation'}
              onChange={() => change({ target: 'conversation' })}
            />
            This conversation
          </label>
        )}
        {target.tableId !== null && (
          <label className="segment">
            <input
              type="radio"
              name={name}
              checked={form.target === 'table'}
              onChange={() => change({ target: 'table' })}
            />
            This table
          </label>
        )}
      </div>
      {form.target === 'table' && <NewConversationField form={form} change={change} />}
    </fieldset>
  );
}

function NewConversationField({ form, change }: Omit<Fields, 'faults'>) {
  return (
    <label className="check">
      <input
        type="checkbox"
        checked={form.newConversation}
        onChange={(event) => change({ newConversation: event.target.checked })}
      />
      A new conversation for each run
    </label>
  );
}

function PolicyFields({ form, faults, change }: Fields) {
  return (
    <>
      <Field label="What was missed while the engine was away">
        {(field) => (
          <select
            {...field}
            className="input"
            value={form.policy}
            onChange={(event) => {
              const policy = event.target.value;
              if (isPolicy(policy)) change({ policy });
            }}
          >
            <option value="run-once">Run once, for the latest</option>
            <option value="run-all">Run all, up to a number</option>
            <option value="window">Run those of the last minutes</option>
            <option value="skip">Skip</option>
          </select>
        )}
      </Field>
      {form.policy === 'run-all' && (
        <Field label="At most" fault={faults.limit}>
          {(field) => (
            <input
              {...field}
              className="input"
              inputMode="numeric"
              value={form.limit}
              onChange={(event) => change({ limit: event.target.value })}
            />
          )}
        </Field>
      )}
      {form.policy === 'window' && (
        <Field label="Minutes" fault={faults.windowMinutes}>
          {(field) => (
            <input
              {...field}
              className="input"
              inputMode="numeric"
              value={form.windowMinutes}
              onChange={(event) => change({ windowMinutes: event.target.value })}
            />
          )}
        </Field>
      )}
      <Field label="While a turn runs">
        {(field) => (
          <select
            {...field}
            className="input"
            value={form.whenBusy}
            onChange={(event) => {
              const whenBusy = event.target.value;
              if (isWhenBusy(whenBusy)) change({ whenBusy });
            }}
          >
            <option value="queue">Wait in the queue</option>
            <option value="skip">Skip this time</option>
            <option value="interrupt">Interrupt it</option>
          </select>
        )}
      </Field>
    </>
  );
}

const isUnit = (unit: string): unit is TriggerForm['everyUnit'] => Object.hasOwn(UNIT_MS, unit);
const isPolicy = (policy: string): policy is TriggerForm['policy'] =>
  ['run-once', 'run-all', 'window', 'skip'].includes(policy);
const isWhenBusy = (whenBusy: string): whenBusy is TriggerForm['whenBusy'] =>
  ['queue', 'skip', 'interrupt'].includes(whenBusy);
