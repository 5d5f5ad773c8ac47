/** The steps of the scripted provider that use Holdfast's tools: a real process, the official SDK's client in it, a real socket. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, onTestFinished, test } from 'vitest';

import { HoldfastError } from '../../src/contracts/errors.ts';
import { promptOfMail } from '../../src/domain/mail.ts';
import type { LineFromProgram } from '../../src/providers/scripted/wire.ts';
import { RunningProgram, textOf } from '../providers/scripted/running-program.ts';
import { eventually } from '../support/eventually.ts';
import { agentView, mailRow, McpServerDouble } from './mcp-harness.ts';

/** A provider that is told of that server as custody does it. */
function agentOf(url: URL): RunningProgram {
  const folder = mkdtempSync(join(tmpdir(), 'scripted-mcp-'));
  const file = join(folder, 'mcp.json');
  const headers = { Authorization: 'Bearer token-1' };
  writeFileSync(
    file,
    JSON.stringify({ mcpServers: { holdfast: { type: 'http', url: url.href, headers } } }),
  );
  const program = new RunningProgram({ args: ['--mcp-config', file] });
  onTestFinished(() => {
    program[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });
  return program;
}

async function endOf(program: RunningProgram, turn: string): Promise<LineFromProgram[]> {
  await program.until((line) => line.type === 'end' && line.turn === turn);
  const { lines } = program;
  return lines.slice(lines.findIndex((line) => 'turn' in line && line.turn === turn));
}

const calls = (lines: readonly LineFromProgram[]) =>
  lines.filter((line) => line.type === 'tool.start' || line.type === 'tool.end');

describe('steps', () => {
  test('spawn and tell are shown as calls, with their arguments and answers', async () => {
    const server = await McpServerDouble.start();
    const program = agentOf(server.url);
    const turn = program.script(
      'spawn b "#script\\nwords 3"',
      'tell b "go on"',
      'tell b "go on"',
      'text "done"',
    );
    const lines = await endOf(program, turn);
    const ids = server.agents.asked.flatMap(({ action, body }) =>
      action === 'send' ? [(body as { messageId: string }).messageId] : [],
    );
    expect(server.agents.asked[0]).toEqual({
      action: 'spawn',
      conversationId: 'c1',
      body: { name: 'b', content: '#script\nwords 3', agentId: 'b' },
    });
    expect(new Set(ids).size).toBe(2);
    expect(calls(lines)).toEqual([
      {
        type: 'tool.start',
        toolCallId: 'tool-1',
        name: 'spawn_agent',
        input: { name: 'b', prompt: '#script\nwords 3', agent_id: 'b' },
      },
      {
        type: 'tool.end',
        toolCallId: 'tool-1',
        status: 'ok',
        output: '{"agent_id":"b","conversation_id":"child-b"}',
      },
      ...ids.flatMap((id, n) => [
        {
          type: 'tool.start',
          toolCallId: `tool-${n + 2}`,
          name: 'send_message',
          input: { to: 'b', content: 'go on', message_id: id },
        },
        {
          type: 'tool.end',
          toolCallId: `tool-${n + 2}`,
          status: 'ok',
          output: `{"message_id":"${id}","state":"delivered"}`,
        },
      ]),
    ]);
    expect(lines.at(-1)).toMatchObject({ type: 'end', outcome: 'completed' });
  });

  test('a step has the same message id in whichever process it runs, another turn another', async () => {
    const server = await McpServerDouble.start();
    const once = agentOf(server.url);
    await endOf(once, once.script('tell b "x"'));
    const again = agentOf(server.url);
    await endOf(again, again.script('tell b "x"'));
    await endOf(again, again.script('tell b "x"'));
    const [first, second, third] = server.agents.asked.map(
      ({ body }) => (body as { messageId: string }).messageId,
    );
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  test('inbox and team stream what they are answered', async () => {
    const server = await McpServerDouble.start();
    server.agents.rows = [mailRow({ messageId: 'm7' })];
    server.agents.members = [agentView({ name: 'Ada' })];
    const program = agentOf(server.url);
    const lines = await endOf(program, program.script('inbox', 'text "|"', 'team'));
    const [inbox = '', team = ''] = textOf(lines).split('|');
    expect(JSON.parse(inbox)).toMatchObject({ waiting: [{ message_id: 'm7' }] });
    expect(JSON.parse(team)).toMatchObject({ team: [{ name: 'Ada' }] });
  });

  test('a refusal ends the call in error, and the script goes on', async () => {
    const server = await McpServerDouble.start();
    server.agents.failure = new HoldfastError('budget_exceeded', 'Too deep.');
    const program = agentOf(server.url);
    const lines = await endOf(program, program.script('spawn b "x"', 'team', 'text "on"'));
    expect(calls(lines)[1]).toMatchObject({
      status: 'error',
      output: expect.stringMatching(/^budget_exceeded: Too deep\./) as string,
    });
    expect(textOf(lines)).toBe('on');
    expect(lines.at(-1)).toMatchObject({ outcome: 'completed' });
  });

  test.each(['archived', 'no config'])('a dead end is told at once: %s', async (way) => {
    const server = await McpServerDouble.start();
    server.archived.add('c1');
    const program = way === 'archived' ? agentOf(server.url) : new RunningProgram();
    onTestFinished(() => program[Symbol.dispose]());
    const lines = await endOf(program, program.script('team', 'text "on"'));
    expect(calls(lines)[1]).toMatchObject({ status: 'error' });
    expect(textOf(lines)).toBe('on');
  });

  test('a cancel ends a call that is not answered', async () => {
    const server = await McpServerDouble.start();
    const never = Promise.withResolvers<void>();
    server.agents.before = () => never.promise;
    onTestFinished(() => never.resolve());
    const program = agentOf(server.url);
    const turn = program.script('spawn b "x"', 'text "on"');
    await eventually(() => server.agents.asked.length === 1);
    program.send({ type: 'cancel', id: turn });
    const lines = await endOf(program, turn);
    expect(calls(lines)[1]).toMatchObject({ status: 'error', output: 'cancelled' });
    expect(lines.at(-1)).toMatchObject({ outcome: 'cancelled' });
  });

  test('a cancel ends a call that is still being connected', async () => {
    // takes connections, and never answers
    const silent = createServer(() => arrived.resolve());
    const arrived = Promise.withResolvers<void>();
    const listening = Promise.withResolvers<void>();
    silent.listen(0, '127.0.0.1', () => listening.resolve());
    await listening.promise;
    onTestFinished(() => void silent.close());
    const { port } = silent.address() as AddressInfo;
    const program = agentOf(new URL(`http://127.0.0.1:${port}/mcp`));
    const turn = program.script('team', 'text "on"');
    await arrived.promise;
    program.send({ type: 'cancel', id: turn });
    const lines = await endOf(program, turn);
    // not what the try came to in the end
    expect(calls(lines)[1]).toMatchObject({ status: 'error', output: 'cancelled' });
    expect(lines.at(-1)).toMatchObject({ outcome: 'cancelled' });
  });

  test('a connection that breaks, and a gateway that is away, are waited for; the call is the same one', async () => {
    const server = await McpServerDouble.start();
    const gate = await FlakyGate.before(server.url);
    const program = agentOf(gate.url);
    await endOf(program, program.script('team'));
    server.agents.asked.length = 0;
    const answered = Promise.withResolvers<void>();
    // The call arrives and is carried out; its answer does not come back, and nobody listens for a while.
    server.agents.before = async () => {
      gate.breakDown();
      answered.resolve();
    };
    const turn = program.script('tell b "x"', 'text "on"');
    await answered.promise;
    server.agents.before = async () => undefined;
    await gate.refusedOne;
    gate.comeBack();
    const lines = await endOf(program, turn);
    expect(calls(lines)[1]).toMatchObject({ status: 'ok' });
    const bodies = server.agents.asked.map(({ body }) => body);
    expect(bodies.length).toBeGreaterThanOrEqual(2);
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1);
  });
});

describe('a prompt that is mail', () => {
  const mail = (content: string) =>
    promptOfMail({
      kind: 'message',
      sender: { agentId: 'b', name: 'Bee' },
      content,
      outcome: null,
    });

  test.each<[string, string, string]>([
    ['a script under a heading', mail('#script\ntext "a"'), 'a'],
    [
      'several, one after the other',
      `${mail('#script\ntext "a"')}\n\n${mail('#script\ntext "b"')}`,
      'ab',
    ],
    [
      'a script among words',
      `${mail('#script\ntext "a"')}\n\n${mail('I am done. words x')}\n\n${mail('#script\ntext "c"')}`,
      'ac',
    ],
    ['words before a script', `${mail('words x')}\n\n${mail('#script\ntext "c"')}`, 'c'],
    ['a script with mail behind it', `#script\ntext "a"\n${mail('#script\ntext "b"')}`, 'ab'],
  ])('%s', async (_name, prompt, said) => {
    const program = new RunningProgram();
    onTestFinished(() => program[Symbol.dispose]());
    const lines = await endOf(program, program.prompt(prompt));
    expect(textOf(lines)).toBe(said);
    expect(lines.at(-1)).toMatchObject({ outcome: 'completed' });
  });

  test.each([
    mail('hello'),
    `hello\n${mail('#script\ntext "a"')}`,
    `\n#script\ntext "a"`,
    mail('hello\n#script\ntext "a"'),
  ])('is answered in sentences when it is no script: %j', async (prompt) => {
    const program = new RunningProgram();
    onTestFinished(() => program[Symbol.dispose]());
    const lines = await endOf(program, program.prompt(prompt));
    expect(textOf(lines)).toMatch(/^Hello, this is the scripted provider/);
  });
});

/** Passes connections on to a server, until it breaks down. */
class FlakyGate {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #refused = Promise.withResolvers<void>();
  #isBroken = false;

  private constructor(target: URL) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      if (this.#isBroken) {
        socket.destroy();
        this.#refused.resolve();
        return;
      }
      const onward = connect(Number(target.port), '127.0.0.1');
      onward.on('error', () => undefined);
      onward.on('close', () => socket.destroy());
      socket.on('close', () => onward.destroy());
      socket.pipe(onward).pipe(socket);
    });
  }

  static async before(target: URL): Promise<FlakyGate> {
    const gate = new FlakyGate(target);
    const listening = Promise.withResolvers<void>();
    gate.#server.listen(0, '127.0.0.1', () => listening.resolve());
    await listening.promise;
    onTestFinished(() => {
      gate.breakDown();
      gate.#server.close();
    });
    return gate;
  }

  get url(): URL {
    const { port } = this.#server.address() as AddressInfo;
    return new URL(`http://127.0.0.1:${port}/mcp`);
  }

  /** Somebody has come while it was broken. */
  get refusedOne(): Promise<void> {
    return this.#refused.promise;
  }

  /** Drops every connection, and every one that comes. */
  breakDown(): void {
    this.#isBroken = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  comeBack(): void {
    this.#isBroken = false;
  }
}
