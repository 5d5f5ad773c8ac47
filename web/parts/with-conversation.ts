import type { ConversationHandle, HoldfastClient } from '../client/contract.ts';

/** Does one thing with a conversation that need not be on the screen. */
export async function withConversation<T>(
  client: HoldfastClient,
  conversationId: string,
  act: (handle: ConversationHandle) => Promise<T>,
): Promise<T> {
  const handle = client.openConversation(conversationId);
  try {
    return await act(handle);
  } finally {
    handle.release();
  }
}
