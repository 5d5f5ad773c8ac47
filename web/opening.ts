/**
 * The page's client and place. It is the first module that runs: the link opens, and what the address names is asked for, while
 * everything that draws is still being evaluated.
 */
import { createPlace } from './app/place.ts';
import { createClient } from './client/client.ts';

// the client comes first: a token in the address is its to take, before anything reads a place there
export const client = createClient();
export const place = createPlace(window);

const { tableId, conversationId } = place.get();
// let go at once: it lingers for longer than the first render takes to open it
if (conversationId !== null) client.openConversation(conversationId).release();
if (tableId !== null) client.openTable(tableId).release();
