/**
 * The page begins: its link is opened, and what the address names is asked for, while the larger part of the code, which draws it, is
 * still being read.
 */
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/app.css';
import './styles/conversation.css';
import './styles/panels.css';
import { createPlace } from './app/place.ts';
import { createClient } from './client/client.ts';

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
// the client comes first: a token in the address is its to take, before anything reads a place there
const client = createClient();
const place = createPlace(window);
const { tableId, conversationId } = place.get();
// let go at once: what was opened lingers until it is drawn
if (conversationId !== null) client.openConversation(conversationId).release();
if (tableId !== null) client.openTable(tableId).release();
try {
  const { draw } = await import('./draw.tsx');
  draw(root, { client, place });
} catch (error) {
  root.textContent = 'This page could not be loaded. Reload it.';
  throw error;
}
