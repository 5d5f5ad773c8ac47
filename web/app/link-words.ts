/** The connection, and the document's title, in words. */
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import type { LinkState } from '../client/contract.ts';

/** Empty while there is nothing to say. */
export function linkWords(link: LinkState): string {
  switch (link.is) {
    case 'connecting':
      return 'Connecting…';
    case 'live':
    case 'unauthorised':
      return '';
    case 'reconnecting':
      if (link.why === 'offline') return 'Offline';
      return link.why === 'restarting' ? 'Engine restarting…' : 'Reconnecting…';
  }
}

/** `● title` while it runs, `title (needs approval)` while it waits for somebody. */
export function documentTitle(
  view: Pick<ConversationViewValue, 'title' | 'state' | 'approvals'> | null,
): string {
  if (view === null) return 'Holdfast';
  const title = view.title.trim() === '' ? 'New chat' : view.title;
  if (view.approvals.length > 0) return `${title} (needs approval)`;
  return view.state === 'idle' ? title : `● ${title}`;
}

/** The token in what was pasted: the whole address that `npm start` prints will do. */
export function tokenIn(pasted: string): string {
  const text = pasted.trim();
  const found = /#token=([^&\s]+)/.exec(text);
  if (found?.[1] === undefined) return text;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}
