/**
 * Colours for code, when there is time for it.
 *
 * Invariants:
 *  1 The text that is shown is the text that was given, coloured or not: a coloured tree is kept under the whole of its text.
 *  2 Nothing is loaded before the first fence that is wanted; a fence that is no longer wanted costs nothing more, and one that only
 *    flies past nothing at all.
 *  3 Of a tree only text and class names are taken.
 */
import type { ElementContent, RootContent } from 'hast';
import { createElement, useEffect, useState, type ReactNode } from 'react';

import { createIdleQueue } from './idle-queue.ts';

/** What is behind this stays plain: a highlighter takes some 0.3 s for a megabyte. */
export const HIGHLIGHT_CHARS = 200 * 1024;
/** So long a fence is in sight before it is coloured: of an answer that comes fast most are out of it sooner. */
const SETTLED_MS = 250;
/** Coloured trees that are kept for fences which come into sight again. */
const KEPT_TREES = 48;

type Highlighter = (text: string, language: string) => readonly RootContent[] | null;

const jobs = createIdleQueue();
const kept = new Map<string, readonly RootContent[]>();
let loading: Promise<Highlighter> | null = null;

/** Failing to load (the engine is away) is tried again with the next fence. */
function loadHighlighter(): Promise<Highlighter> {
  loading ??= import('./highlight-languages.ts').then(
    ({ lowlight }): Highlighter =>
      (text, language) =>
        lowlight.registered(language) ? lowlight.highlight(language, text).children : null,
    (error: unknown) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

/** `text` coloured; null: show it plain, because it is not wanted, not known or not ready. */
export function useHighlighted(
  text: string,
  language: string | null,
  isWanted: boolean,
): ReactNode | null {
  const name = language?.toLowerCase() ?? null;
  const key = `${name}\n${text}`;
  const [done, setDone] = useState<string | null>(null);
  useEffect(() => {
    if (!isWanted || name === null || kept.has(key)) return;
    let isDropped = false;
    let cancel = (): void => {
      isDropped = true;
    };
    const timer = setTimeout(() => {
      loadHighlighter().then(
        (highlight) => {
          if (isDropped) return;
          cancel = jobs.add(() => {
            const tree = highlight(text.slice(0, HIGHLIGHT_CHARS), name);
            if (tree === null) return;
            keep(key, tree);
            setDone(key);
          });
        },
        () => undefined,
      );
    }, SETTLED_MS);
    return () => {
      clearTimeout(timer);
      cancel();
    };
  }, [isWanted, key, name, text]);
  if (!isWanted) return null;
  // `done` is another text's while this one is new; `kept` knows both
  const tree = done === key || kept.has(key) ? kept.get(key) : undefined;
  if (tree === undefined) return null;
  return [...coloured(tree), text.slice(HIGHLIGHT_CHARS)];
}

function keep(key: string, tree: readonly RootContent[]): void {
  kept.set(key, tree);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT_TREES) break;
    kept.delete(oldest);
  }
}

/** A highlighter's tree as React elements: spans with class names, and text. */
export function coloured(nodes: readonly (RootContent | ElementContent)[]): ReactNode[] {
  return nodes.map((node, index) => {
    if (node.type === 'text') return node.value;
    if (node.type !== 'element') return null;
    return createElement(
      'span',
      { key: index, className: classNames(node.properties['className']) },
      coloured(node.children),
    );
  });
}

function classNames(value: unknown): string {
  if (!Array.isArray(value)) return '';
  return value
    .filter((name): name is string => typeof name === 'string' && /^[a-z][\w-]*$/iu.test(name))
    .join(' ');
}
