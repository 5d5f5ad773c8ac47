/** What is typed about a trigger, and what the engine is asked with it. Pure. */
import type {
  CreateTriggerBodyValue,
  PatchTriggerBodyValue,
  TriggerViewValue,
} from '../../src/contracts/triggers.ts';

export const UNIT_MS = {
  seconds: 1_000,
  minutes: 60_000,
  hours: 3_600_000,
  days: 86_400_000,
} as const;
export type Unit = keyof typeof UNIT_MS;
export type MissedPolicy = TriggerViewValue['missed']['policy'];
export type WhenBusy = TriggerViewValue['whenBusy'];

/** All of it is text where a person types: what is not a number yet stays as it was typed. */
export type TriggerForm = {
  title: string;
  content: string;
  kind: 'every' | 'at' | 'cron';
  everyCount: string;
  everyUnit: Unit;
  at: string;
  cron: string;
  timezone: string;
  policy: MissedPolicy;
  limit: string;
  windowMinutes: string;
  whenBusy: WhenBusy;
  target: 'conversation' | 'table';
  newConversation: boolean;
};

export type Target = { tableId: string | null; conversationId: string | null };

/** A form that nothing was typed into. */
export function emptyForm(timezone: string, target: Target): TriggerForm {
  return {
    title: '',
    content: '',
    kind: 'every',
    everyCount: '1',
    everyUnit: 'hours',
    at: '',
    cron: '0 9 * * 1-5',
    timezone,
    policy: 'run-once',
    limit: '10',
    windowMinutes: '60',
    whenBusy: 'queue',
    target: target.conversationId === null ? 'table' : 'conversation',
    newConversation: false,
  };
}

/** The form of a trigger that exists. */
export function formOf(trigger: TriggerViewValue): TriggerForm {
  const { schedule, missed } = trigger;
  const form = emptyForm(schedule.timezone, trigger);
  return {
    ...form,
    ...scheduleFields(schedule),
    title: trigger.title,
    content: trigger.content,
    policy: missed.policy,
    limit: String(missed.limit ?? form.limit),
    windowMinutes: String((missed.windowMs ?? 3_600_000) / 60_000),
    whenBusy: trigger.whenBusy,
    newConversation: trigger.newConversation,
  };
}

function scheduleFields(schedule: TriggerViewValue['schedule']): Partial<TriggerForm> {
  if ('cron' in schedule) return { kind: 'cron', cron: schedule.cron };
  if ('at' in schedule) return { kind: 'at', at: schedule.at };
  const units: Unit[] = ['days', 'hours', 'minutes', 'seconds'];
  const everyUnit = units.find((unit) => schedule.everyMs % UNIT_MS[unit] === 0) ?? 'seconds';
  return {
    kind: 'every',
    everyUnit,
    everyCount: String(schedule.everyMs / UNIT_MS[everyUnit]),
  };
}

export type Faults = Partial<Record<keyof TriggerForm, string>>;

/** What cannot be asked for; everything finer the engine judges, and says. */
export function faultsOf(form: TriggerForm): Faults {
  const faults: Faults = {};
  if (form.content.trim() === '') faults.content = 'What shall be sent?';
  if (form.kind === 'every' && !(everyMsOf(form) >= 1_000)) {
    faults.everyCount = 'A number, of a second at least in all.';
  }
  if (form.kind === 'at' && form.at.trim() === '') faults.at = 'When?';
  if (form.kind === 'cron' && form.cron.trim() === '')
    faults.cron = 'Five fields: minute, hour, day, month, weekday.';
  if (form.policy === 'run-all' && !isCount(form.limit)) faults.limit = 'A whole number.';
  if (form.policy === 'window' && !(Number(form.windowMinutes) > 0)) {
    faults.windowMinutes = 'A number of minutes.';
  }
  return faults;
}

const isCount = (text: string) => /^\d+$/.test(text.trim()) && Number(text) >= 1;

/** NaN where no number was typed. */
function everyMsOf({ everyCount, everyUnit }: TriggerForm): number {
  return everyCount.trim() === '' ? NaN : Math.round(Number(everyCount) * UNIT_MS[everyUnit]);
}

/** What both requests have; of a form without {@link faultsOf}. */
function members(form: TriggerForm) {
  const { kind, policy, whenBusy, newConversation } = form;
  const timezone = form.timezone.trim() === '' ? {} : { timezone: form.timezone.trim() };
  const schedule = {
    every: { everyMs: everyMsOf(form), ...timezone },
    at: { at: form.at.trim(), ...timezone },
    cron: { cron: form.cron.trim(), ...timezone },
  }[kind];
  const missed = {
    policy,
    ...(policy === 'run-all' ? { limit: Number(form.limit) } : {}),
    ...(policy === 'window' ? { windowMs: Math.round(Number(form.windowMinutes) * 60_000) } : {}),
  };
  return {
    title: form.title.trim(),
    content: form.content,
    schedule,
    missed,
    whenBusy,
    newConversation,
  };
}

/** The request that makes it. `triggerId` is chosen by whoever asks, so that asking twice makes one. */
export function createBody(
  form: TriggerForm,
  target: Target,
  triggerId: string,
): CreateTriggerBodyValue {
  const isTable = form.target === 'table';
  const { newConversation, ...rest } = members(form);
  return {
    ...rest,
    triggerId,
    ...(isTable
      ? { tableId: target.tableId, newConversation }
      : { conversationId: target.conversationId }),
  };
}

/** The request that changes it: only what is different, so that an edit of the title keeps the rule. Null: nothing is. */
export function patchBody(
  form: TriggerForm,
  trigger: TriggerViewValue,
): PatchTriggerBodyValue | null {
  const before = members(formOf(trigger));
  const after = members(form);
  const change: PatchTriggerBodyValue = {
    ...(after.title === before.title ? {} : { title: after.title }),
    ...(after.content === before.content ? {} : { content: after.content }),
    ...(isSame(after.schedule, before.schedule) ? {} : { schedule: after.schedule }),
    ...(isSame(after.missed, before.missed) ? {} : { missed: after.missed }),
    ...(after.whenBusy === before.whenBusy ? {} : { whenBusy: after.whenBusy }),
    ...(after.newConversation === before.newConversation
      ? {}
      : { newConversation: after.newConversation }),
  };
  return Object.keys(change).length === 0 ? null : change;
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
