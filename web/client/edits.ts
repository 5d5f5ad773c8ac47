/**
 * Edits of what was said or waits, by conversation: kept in this browser from the first change on, until they are saved or given up.
 * One in which nothing is changed is open here, and kept nowhere: nothing of it can be lost.
 */
import type { Edit, EditName, Readable } from './contract.ts';
import { KeptTexts } from './kept-texts.ts';
import type { Kept } from './kept.ts';
import type { Parts } from './parts.ts';
import { Value } from './readable.ts';

export class Edits {
  readonly texts: KeptTexts;
  readonly #values = new Map<string, Value<readonly Edit[]>>();

  constructor(parts: Pick<Parts, 'after'>, kept: Kept) {
    this.texts = new KeptTexts({ parts, kept }, 'edit.', (name, text) => {
      const known = namedBy(name);
      if (known === null) return;
      const { conversationId, edit } = known;
      const value = this.#values.get(conversationId);
      if (value === undefined) return;
      const { original = null } = value.get().find((each) => isOf(each, edit)) ?? {};
      value.set(withEdit(value.get(), edit, text === null ? null : { ...edit, text, original }));
    });
  }

  of(conversationId: string): Readable<readonly Edit[]> {
    return this.#value(conversationId);
  }

  set(conversationId: string, edit: Edit): void {
    const value = this.#value(conversationId);
    value.set(withEdit(value.get(), edit, edit));
    this.texts.set(nameOf(conversationId, edit), edit.text === edit.original ? null : edit.text);
  }

  end(conversationId: string, edit: EditName): void {
    const value = this.#value(conversationId);
    value.set(withEdit(value.get(), edit, null));
    this.texts.set(nameOf(conversationId, edit), null);
    // At once, so that no other page takes it for one that is still under way.
    this.texts.keep();
  }

  #value(conversationId: string): Value<readonly Edit[]> {
    const known = this.#values.get(conversationId);
    if (known !== undefined) return known;
    const left = this.texts.names(`${conversationId}.`).flatMap((name): Edit[] => {
      const edit = namedBy(name)?.edit;
      const text = this.texts.get(name);
      return edit === undefined || text === null ? [] : [{ ...edit, text, original: null }];
    });
    const value = new Value<readonly Edit[]>(left);
    this.#values.set(conversationId, value);
    return value;
  }
}

/** No id has a point in it. */
function nameOf(conversationId: string, { of, id }: EditName): string {
  return `${conversationId}.${of}.${id}`;
}

function namedBy(name: string): { conversationId: string; edit: EditName } | null {
  const [conversationId = '', of, ...id] = name.split('.');
  if (of !== 'message' && of !== 'queued') return null;
  return { conversationId, edit: { of, id: id.join('.') } };
}

function isOf(edit: EditName, { of, id }: EditName): boolean {
  return edit.of === of && edit.id === id;
}

/** The list with `edit` in the place of that name, or behind the others; null: without it. */
function withEdit(list: readonly Edit[], name: EditName, edit: Edit | null): readonly Edit[] {
  const isKnown = list.some((each) => isOf(each, name));
  if (!isKnown) return edit === null ? list : [...list, edit];
  return list.flatMap((each) => (isOf(each, name) ? (edit === null ? [] : [edit]) : [each]));
}
