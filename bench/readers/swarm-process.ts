/** The process of a swarm's readers; carries out one task after the other, as its parent sends them (swarm.ts). */
import { isEvent, RawSocket } from './raw-socket.ts';
import { askRows, openRows, rowsAfter } from './rows.ts';
import { Ages } from './stamps.ts';
import type { Answer, Returning, Target, Task } from './swarm.ts';

type Watcher = { received: number; close(): void };

const watchers: Watcher[] = [];
const ages = new Ages();

const wallNow = (): number => performance.timeOrigin + performance.now();

process.on('message', (task: Task) => {
  carryOut(task).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ faults: [String(error)] } satisfies Answer),
  );
});

async function carryOut(task: Task): Promise<Answer> {
  switch (task.do) {
    case 'reconnect':
      return reconnect(task);
    case 'watch':
      for (let index = 0; index < task.count; index += 1)
        // One after the other: only what comes later is measured.
        watchers.push(await watcherOf(task.target, task));
      return {};
    case 'received':
      return { received: watchers.map(({ received }) => received) };
    case 'ages':
      return { ages: ages.take() };
    case 'leave':
      for (const watcher of watchers.splice(0)) watcher.close();
      return {};
  }
}

async function reconnect({
  target,
  clients,
  at,
}: Extract<Task, { do: 'reconnect' }>): Promise<Answer> {
  await new Promise((resolve) => setTimeout(resolve, at - wallNow()));
  const from = performance.now();
  const faults: string[] = [];
  const closes: (() => void)[] = [];
  const ms = await Promise.all(
    clients.map(async (client) => {
      try {
        const returned = await comeBack(target, client);
        const took = performance.now() - from;
        if (returned.events !== client.missed)
          faults.push(
            `${client.conversationId}: ${returned.events} events instead of ${client.missed}`,
          );
        closes.push(() => returned.close());
        return took;
      } catch (error) {
        faults.push(`${client.conversationId}: ${String(error)}`);
        return Number.POSITIVE_INFINITY;
      }
    }),
  );
  // They stay until all are back: a client that leaves is work for the server too.
  for (const close of closes) close();
  return { ms, faults };
}

/** Resolves when the server says that everything missed has been sent. */
async function comeBack(
  target: Target,
  { conversationId, lastSeq, missed }: Returning,
): Promise<{ events: number; close(): void }> {
  if (target.kind === 'rows') {
    const socket = await openRows(target.port);
    await rowsAfter(socket, { conversationId, lastSeq });
    // The floor counts nothing.
    return { events: missed, close: () => socket.destroy() };
  }
  const socket = await RawSocket.open(target);
  const events = await socket.catchUp({ conversationId, lastSeq });
  return { events, close: () => socket.close() };
}

async function watcherOf(
  target: Target,
  cursor: { conversationId: string; lastSeq: number },
): Promise<Watcher> {
  if (target.kind === 'rows') {
    const socket = await openRows(target.port);
    const watcher: Watcher = { received: 0, close: () => socket.destroy() };
    await askRows(socket, 'watch');
    socket.on('data', (bytes) => {
      watcher.received += bytes.length;
      ages.noteLines(bytes);
    });
    return watcher;
  }
  const socket = await RawSocket.open(target);
  const watcher: Watcher = { received: 0, close: () => socket.close() };
  await socket.catchUp(cursor);
  socket.onMessage = (bytes, start, end) => {
    if (!isEvent(bytes, start)) return;
    watcher.received += 1;
    ages.note(bytes, start, end);
  };
  socket.onClosed = (why) => {
    throw new Error(`a watcher was lost: ${why}`);
  };
  return watcher;
}
