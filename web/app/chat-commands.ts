/** What the list of conversations can do, with what is said about it. */
import type { HoldfastClient, TableHandle } from '../client/contract.ts';
import { freshId } from '../parts/fresh-id.ts';
import { problemWords } from '../parts/problem-line.tsx';
import { withConversation } from '../parts/with-conversation.ts';
import { titleOf, type ListedChat } from './chats.ts';
import type { Notices } from './notices.ts';

export type ChatCommands = {
  newChat: (handle: TableHandle) => Promise<void>;
  archive: (chat: ListedChat) => Promise<void>;
  fork: (chat: ListedChat) => Promise<void>;
};

/** `onOpen` goes to a conversation. What fails is said in one line, and nothing else changes. */
export function chatCommands(
  client: HoldfastClient,
  notices: Notices,
  onOpen: (conversationId: string) => void,
): ChatCommands {
  const setArchived = async (chat: ListedChat, archived: boolean) => {
    const { conversationId } = chat;
    const outcome = await withConversation(client, conversationId, (handle) =>
      handle.patch({ archived }),
    );
    if (!outcome.ok) {
      notices.say(problemWords(outcome.problem), { tone: 'bad' });
      return;
    }
    const undo = { label: 'Undo', run: () => void setArchived(chat, !archived) };
    notices.say(`“${titleOf(chat)}” is ${archived ? 'archived' : 'back in the list'}.`, {
      action: undo,
    });
  };
  return {
    async newChat(handle) {
      // the engine cancels what runs in the table: that is said, with a way back
      const { conversations } = handle.get().view;
      const running = conversations.find((chat) => chat.state !== 'idle');
      const conversationId = freshId();
      const outcome = await handle.newChat({ conversationId });
      if (!outcome.ok) {
        notices.say(problemWords(outcome.problem), { tone: 'bad' });
        return;
      }
      onOpen(conversationId);
      if (running === undefined) return;
      notices.say(`“${titleOf(running)}” was running and is cancelled.`, {
        action: { label: 'Open it', run: () => onOpen(running.conversationId) },
      });
    },
    archive: (chat) => setArchived(chat, !chat.archived),
    async fork(chat) {
      const conversationId = freshId();
      const outcome = await withConversation(client, chat.conversationId, (handle) =>
        handle.fork({ conversationId }),
      );
      if (outcome.ok) onOpen(conversationId);
      else notices.say(problemWords(outcome.problem), { tone: 'bad' });
    },
  };
}
