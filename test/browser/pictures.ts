/** The states of the page that there are pictures of, and how to get there. */
import { randomUUID } from 'node:crypto';

import { signalProcess } from '../../src/providers/process/process-table.ts';
import type { Device, DeviceName } from '../support/browser.ts';
import { ChatPage, gone, seen } from './chat-page.ts';
import { type Chat, script, type Stage } from './stage.ts';

export type Setting = { device: DeviceName; colorScheme: 'light' | 'dark' };

/** Brings a page into the state; the picture is taken when it resolves. */
type Picture = (stage: Stage, setting: Setting) => Promise<ChatPage>;

/** Silence of a turn after which the engine of the pictures calls it quiet. */
export const QUIET_AFTER_MS = 5_000;

const ANSWER = [
  'Three things happen, in this order:',
  '1. The message is **durable** before anything starts: Temporal has it on disk.\n2. A turn host takes it up and starts the agent.\n3. Each piece of the answer is recorded, then shown.',
  'So a reload in the middle is nothing special:',
  '```ts\nconst view = foldEvents(snapshot, eventsAfter(snapshot.lastSeq));\nrender(view); // the same as if you had never left\n```',
  '| what dies | what is lost |\n|---|---|\n| the page | nothing |\n| the gateway | nothing |\n| the turn host | nothing |',
].join('\n\n');
const PROSE =
  'A harbour is a place where ships may lie safe from the open sea. Its walls take what the waves bring, and the water behind them is calm. ' +
  'The oldest ones were bays that needed no wall; the largest of today are dug into land that was dry. ';

const text = (content: string): string => `text ${JSON.stringify(content)}`;
/** Comes word by word, for a minute and a half. */
const streamed = PROSE.repeat(9)
  .trim()
  .split(' ')
  .flatMap((word) => [text(`${word} `), 'sleep 150']);

/** What is sent here are programs for the scripted provider; a picture shows the heading of each in its place. */
const PROGRAM = /"#script\\n# ((?:[^"\\]|\\[^n])*)\\n(?:[^"\\]|\\.)*"/g;
/** Its last line is what the list of chats shows of it, until there is an answer. */
const task = (heading: string, ...steps: string[]): string =>
  script(`# ${heading}`, ...steps, `# ${heading}`);

async function showHeadings(device: Device): Promise<void> {
  await device.page.routeWebSocket(/\/v1\/ws/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((frame) =>
      socket.send(
        String(frame).replaceAll(PROGRAM, '"$1"').replaceAll('"lastLine":"# ', '"lastLine":"'),
      ),
    );
  });
}

/** An open page at a chat of that title, which stands among others. `first`: sent before the page is opened. */
async function opened(
  stage: Stage,
  { device, colorScheme }: Setting,
  title: string,
  {
    through = 'gateway',
    first,
    prepare = async () => {},
  }: {
    through?: 'gateway' | 'proxy';
    first?: string;
    prepare?: (chat: Chat) => Promise<void>;
  } = {},
): Promise<ChatPage> {
  const { tableId } = await stage.newChat('Harbour');
  for (const [other, answer] of [
    ['Tide tables for March', 'High water is at 4:12 and at 16:40.'],
    ['Which rope for the stern line?', 'Nylon: it stretches.'],
  ] as const) {
    const conversationId = await stage.anotherChat(tableId, other);
    await stage.send({ tableId, conversationId }, task(other, text(answer)), { wait: true });
  }
  const chat = { tableId, conversationId: await stage.anotherChat(tableId, title) };
  if (first !== undefined) await stage.send(chat, first, { wait: true });
  await prepare(chat);
  return stage.open(device, chat, { colorScheme, through, arrange: showHeadings });
}

const harbours = task('Tell me about harbours', 'think 12', ...streamed);

export const pictures: Readonly<Record<string, Picture>> = {
  empty: (stage, setting) => opened(stage, setting, ''),

  conversation: async (stage, setting) => {
    const heading = 'What happens to a message?';
    const first = task(heading, text(ANSWER), 'usage 1840 312 0.021');
    const page = await opened(stage, setting, heading, { first });
    await seen(page.ended('Completed'));
    return page;
  },

  streaming: async (stage, setting) => {
    const page = await opened(stage, setting, 'About harbours');
    await page.send(harbours);
    await seen(page.log.getByText(/the largest of today are dug/));
    return page;
  },

  tools: async (stage, setting) => {
    const page = await opened(stage, setting, 'The tests of last night');
    await page.send(
      task(
        'Look at the logs, then run the tests',
        text('I look at the logs first.'),
        'tool read_log prints 6',
        text('Nothing unusual; now the tests.'),
        'tool run_tests for 12000 prints 12',
      ),
    );
    await seen(page.log.getByText(/run_tests line 4/));
    return page;
  },

  approval: async (stage, setting) => {
    const page = await opened(stage, setting, 'Cleaning up');
    await page.send(
      task('Clean the build folder', text('I would like to remove it.'), 'ask shell'),
    );
    await seen(page.approval());
    return page;
  },

  quiet: async (stage, setting) => {
    const page = await opened(stage, setting, 'The yearly report');
    await page.send(task('Summarise the report', text('I read the report…'), 'hang'));
    await seen(page.turn.getByRole('alert'));
    return page;
  },

  cancelling: async (stage, setting) => {
    const page = await opened(stage, setting, 'The long count');
    await page.send(task('Count all ships', 'ignore-cancel', text('I count them.'), 'hang'));
    await seen(page.log.getByText('I count them.', { exact: true }));
    await page.button('Stop').click();
    const steps = page.turn.getByRole('list', { name: /cancel/i }).getByRole('listitem');
    await seen(steps.nth(2));
    return page;
  },

  interrupted: async (stage, setting) => {
    const first = task(
      'Draft the letter',
      text('Dear harbour master, the berth that you'),
      'exit 3',
    );
    const page = await opened(stage, setting, 'A letter', { first });
    await seen(page.button('Retry'));
    return page;
  },

  attempts: async (stage, setting) => {
    const page = await opened(stage, setting, 'A letter');
    const letter = text(`Dear harbour master, thank you for your letter. ${PROSE}`);
    await page.send(
      task('Draft the letter', 'ignore-cancel', letter, 'hang once', text('Yours faithfully.')),
    );
    await seen(page.rows('Assistant').getByText(/Dear harbour master/));
    await page.button('Stop').click();
    await page.isIdle();
    await page.button('Retry').click();
    await seen(page.ended('Completed'));
    await page.button('Side by side').click();
    const both = page.page.getByRole('dialog', { name: /side by side/i });
    await seen(both.getByText(/Yours faithfully/));
    return page;
  },

  queue: async (stage, setting) => {
    const page = await opened(stage, setting, 'Two drafts');
    await page.send(task('Compare the two drafts', text(PROSE), 'hang'));
    await seen(page.rows('Assistant').getByText(/A harbour is/));
    for (const message of [
      'Then shorten the second one.',
      'And translate it into French.',
      'At last, send it to me.',
    ])
      await page.send(message);
    await seen(page.queue.getByRole('listitem').nth(2));
    return page;
  },

  search: async (stage, setting) => {
    const page = await opened(stage, setting, '');
    await page.openNavigation();
    await page.page.getByRole('searchbox', { name: 'Search chats' }).fill('stretches');
    const found = page.navigation.getByRole('list', { name: 'Chats' }).getByRole('link');
    await seen(found.filter({ hasText: /stretches/ }));
    await gone(found.filter({ hasText: 'Tide tables' }));
    return page;
  },

  triggers: async (stage, setting) => {
    const page = await opened(stage, setting, 'Tide reports', {
      prepare: async ({ conversationId }) => {
        const triggerId = `g-${randomUUID()}`;
        const content = task('Write the tide report for tomorrow.', text('High water: 4:12.'));
        const schedule = { cron: '0 3 * * *', timezone: 'Europe/Berlin' };
        const body = { triggerId, title: 'Nightly tide report', conversationId, content, schedule };
        await stage.holdfast.ask({ path: '/v1/triggers', body });
        for (let fired = 0; fired < 2; fired++)
          await stage.holdfast.call({ path: `/v1/triggers/${triggerId}/fire`, body: {} });
      },
    });
    await page.choose('Triggers');
    const mine = page.panel('Triggers').getByRole('article', { name: 'Nightly tide report' });
    await mine
      .last()
      .getByRole('button', { name: /^Ledger/ })
      .click();
    await seen(page.panel('Triggers').getByRole('row').nth(1));
    return page;
  },

  agents: async (stage, setting) => {
    const page = await opened(stage, setting, 'The regatta');
    const [rules, letter] = ['The rules are read.', 'I write the invitation.'].map(text);
    await page.send(
      task(
        'Plan the regatta with two others',
        `spawn reader ${JSON.stringify(script(rules ?? ''))}`,
        `spawn writer ${JSON.stringify(script(letter ?? '', 'hang'))}`,
        text('Both are at work.'),
      ),
    );
    await seen(page.log.getByText('Both are at work.', { exact: true }));
    await page.choose('Agents');
    const team = page.panel('Agents');
    await seen(team.getByRole('treeitem', { name: /writer/ }));
    // the reader's result has come, and was answered
    await seen(team.getByText('From reader'));
    await seen(team.getByRole('treeitem', { name: /regatta.*completed/ }));
    return page;
  },

  why: async (stage, setting) => {
    const page = await opened(stage, setting, 'The tide');
    await page.send(task('Wait for the tide', text('I wait.'), 'hang'));
    await seen(page.log.getByText('I wait.', { exact: true }));
    await page.choose('Why?');
    await seen(page.panel('Why').getByRole('link'));
    return page;
  },

  token: async (stage, setting) => {
    const device = await stage.device(setting.device, setting);
    await device.open(stage.holdfast.api);
    const page = new ChatPage(device, stage.holdfast.api);
    await seen(page.page.getByRole('dialog', { name: 'Connect' }));
    return page;
  },

  offline: async (stage, setting) => {
    const page = await opened(stage, setting, 'About harbours', { through: 'proxy' });
    await page.send(harbours);
    await seen(page.log.getByText(/safe from the open sea/));
    stage.proxy.cut();
    await seen(page.connection.getByText(/Reconnecting/));
    await page.send('And about lighthouses?');
    return page;
  },

  're-attached': async (stage, setting) => {
    const page = await opened(stage, setting, 'About harbours');
    await page.send(harbours);
    await seen(page.log.getByText(/safe from the open sea/));
    signalProcess(await stage.holdfast.process('turn-host'), 'SIGKILL');
    await seen(page.log.getByText(/re-attached/i));
    return page;
  },
};
