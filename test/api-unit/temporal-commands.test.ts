/**
 * Commands against servers that misbehave: real gRPC connections to HTTP/2 servers that refuse, hang, break off or lie.
 * What a real Temporal server does with them: test/integration/api.
 */
import { createServer as createTcpServer } from 'node:net';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { WorkflowCommands } from '../../src/api/commands.ts';
import {
  createTemporalCommands,
  fateOf,
  lazyTemporalConnection,
  type CommandObserver,
} from '../../src/api/temporal-commands.ts';
import { isHoldfastError } from '../../src/contracts/errors.ts';
import { eventually } from '../support/eventually.ts';
import { accept, deadPort, grpcServer, listen, refuse } from '../support/grpc-server.ts';

type Fates = Parameters<CommandObserver>[0]['fate'][];

function commandsTo(port: number): { commands: WorkflowCommands; fates: Fates } {
  const connection = lazyTemporalConnection({ address: `127.0.0.1:${port}` });
  onTestFinished(() => connection.close());
  const fates: Fates = [];
  const commands = createTemporalCommands({
    connection,
    namespace: 'default',
    observe: ({ fate }) => fates.push(fate),
    callPatienceMs: 1_000,
    connectPatienceMs: 400,
  });
  return { commands, fates };
}

const send = (commands: WorkflowCommands): Promise<void> =>
  commands.signal({
    conversationId: 'c1',
    signal: { name: 'send', argument: { requestId: 'r1', content: 'hello' } },
  });

const spawn = (commands: WorkflowCommands): ReturnType<WorkflowCommands['spawn']> =>
  commands.spawn({
    conversationId: 'agent-1',
    create: {
      tableId: null,
      title: 'a',
      provider: 'scripted',
      model: null,
      workspacePath: '/w',
      agent: {
        agentId: 'a',
        name: 'a',
        role: '',
        rootId: 'c1',
        parentId: 'c1',
        depth: 1,
        task: 'do it',
      },
    },
  });

async function failure(
  call: Promise<unknown>,
): Promise<{ code: string; accepted: unknown; message: string }> {
  try {
    await call;
  } catch (error) {
    if (isHoldfastError(error))
      return { code: error.code, accepted: error.detail['accepted'], message: error.message };
    return { code: 'none', accepted: null, message: String(error) };
  }
  throw new Error('was accepted');
}

describe('A3: durable means answered', () => {
  it('resolves when the server has answered', async () => {
    const { server } = grpcServer(accept);
    const { commands, fates } = commandsTo(await listen(server));
    await send(commands);
    expect(fates).toEqual(['accepted']);
    await commands.check();
  });
});

describe('what is asked', () => {
  const create = { title: '', provider: 'scripted', model: null, workspacePath: '/w' };
  it.each([
    [
      'StartWorkflowExecution',
      ['conversation:c1', 'conversation', '"tableId":"t1"'],
      (commands: WorkflowCommands) =>
        commands.create({ conversationId: 'c1', create: { ...create, tableId: 't1' } }),
    ],
    [
      'StartWorkflowExecution',
      ['table:t1', 'HoldfastTable', '"title":""'],
      (commands: WorkflowCommands) => commands.createTable({ tableId: 't1', create }),
    ],
    [
      'SignalWithStartWorkflowExecution',
      ['conversation:c1', 'holdQueue', '"held":true', '{"conversationId":"c1"}'],
      (commands: WorkflowCommands) =>
        commands.signal({
          conversationId: 'c1',
          signal: { name: 'holdQueue', argument: { commandId: 'x', held: true } },
        }),
    ],
    [
      'SignalWithStartWorkflowExecution',
      ['conversation:agent-1', 'mail', '"agentId":"a"', '"task":"do it"', 'HoldfastProvider'],
      (commands: WorkflowCommands) => spawn(commands),
    ],
    [
      'SignalWithStartWorkflowExecution',
      [
        'conversation:c1',
        'mail',
        '"again":{"messageId":"m1","from":"c2"}',
        '{"conversationId":"c1"}',
      ],
      (commands: WorkflowCommands) =>
        commands.signal({
          conversationId: 'c1',
          signal: { name: 'mail', argument: { again: { messageId: 'm1', from: 'c2' } } },
        }),
    ],
    [
      'SignalWithStartWorkflowExecution',
      ['table:t1', 'activate', '"conversationId":"c1"', '{"tableId":"t1"}'],
      (commands: WorkflowCommands) =>
        commands.signalTable({
          tableId: 't1',
          signal: { name: 'activate', argument: { commandId: 'x', conversationId: 'c1' } },
        }),
    ],
    [
      'SignalWithStartWorkflowExecution',
      ['trigger:g1', 'fire', '"requestId":"r1"', '{"triggerId":"g1"}'],
      (commands: WorkflowCommands) =>
        commands.signalTrigger({
          triggerId: 'g1',
          signal: { name: 'fire', argument: { commandId: 'r1', requestId: 'r1' } },
        }),
    ],
  ])('%s with %j', async (call, words, run) => {
    const asked: string[] = [];
    const { server } = grpcServer((stream, path, body) => {
      asked.push(path, body);
      accept(stream);
    });
    const { commands } = commandsTo(await listen(server));
    await run(commands);
    expect(asked[0]).toMatch(new RegExp(`/${call}$`));
    for (const word of words) expect(asked[1]).toContain(word);
  });
});

describe('why an agent was not made', () => {
  it('is not known while its workflow runs; asked no longer, the call ends', async () => {
    const asked: string[] = [];
    const { server } = grpcServer((stream, path) => {
      asked.push(path);
      // A long poll: the workflow goes on.
      if (path.endsWith('/SignalWithStartWorkflowExecution')) accept(stream);
    });
    const { commands } = commandsTo(await listen(server));
    const spawning = await spawn(commands);
    const over = new AbortController();
    const refused = spawning.refused(over.signal);
    await eventually(() => asked.some((path) => path.endsWith('/GetWorkflowExecutionHistory')));
    over.abort();
    expect(await refused).toBeNull();
  });

  it('is not known when the server does not say it', async () => {
    const { server } = grpcServer((stream, path) => {
      if (path.endsWith('/SignalWithStartWorkflowExecution')) accept(stream);
      else refuse(stream, 5);
    });
    const { commands } = commandsTo(await listen(server));
    const spawning = await spawn(commands);
    expect(await spawning.refused(new AbortController().signal)).toBeNull();
  });

  it('A3: nothing is accepted where the server is not there', async () => {
    const { commands } = commandsTo(await deadPort());
    expect(await failure(spawn(commands))).toMatchObject({
      code: 'temporal_unavailable',
      accepted: false,
    });
  });
});

describe('T1: "nothing was accepted" is only said when it is certain', () => {
  it('a server that is not there: nothing, and soon', async () => {
    const { commands, fates } = commandsTo(await deadPort());
    const startedAt = performance.now();
    expect(await failure(send(commands))).toMatchObject({
      code: 'temporal_unavailable',
      accepted: false,
    });
    expect(performance.now() - startedAt).toBeLessThan(900);
    expect(new Set(fates)).toEqual(new Set(['not-accepted']));
    await expect(commands.check()).rejects.toThrow(/UNAVAILABLE|DEADLINE/);
  });

  it('a port that accepts and says nothing: nothing, for no call was ever sent', async () => {
    const silent = createTcpServer(() => undefined);
    const { commands } = commandsTo(await listen(silent));
    expect(await failure(send(commands))).toMatchObject({
      code: 'temporal_unavailable',
      accepted: false,
    });
  });

  it('T2: a server that hangs: unknown, within the patience', async () => {
    const { server } = grpcServer(() => undefined);
    const { commands, fates } = commandsTo(await listen(server));
    const startedAt = performance.now();
    const { code, accepted, message } = await failure(send(commands));
    expect({ code, accepted }).toEqual({ code: 'temporal_unavailable', accepted: 'unknown' });
    expect(message).toMatch(/not known.*Repeat/);
    expect(performance.now() - startedAt).toBeLessThan(1_600);
    expect(fates).toEqual(['unknown']);
  });

  it('a connection that breaks after the call was sent: unknown, though later attempts were refused', async () => {
    const grpc = grpcServer(() => {
      grpc.server.close();
      grpc.breakOff();
    });
    const { commands, fates } = commandsTo(await listen(grpc.server));
    expect(await failure(send(commands))).toMatchObject({ accepted: 'unknown' });
    expect(fates[0]).toBe('unknown');
    expect(fates.slice(1)).toContain('not-accepted');
  });

  it('a connection that breaks and comes back: repeated, and accepted', async () => {
    let calls = 0;
    const grpc = grpcServer((stream) => {
      calls += 1;
      if (calls === 1) grpc.breakOff();
      else accept(stream);
    });
    const { commands, fates } = commandsTo(await listen(grpc.server));
    await send(commands);
    expect(fates).toEqual(['unknown', 'accepted']);
  });

  it('W1: a server that comes back is found within a second, however long it was away', async () => {
    const port = await deadPort();
    const { commands } = commandsTo(port);
    for (let tries = 0; tries < 6; tries += 1)
      expect(await failure(send(commands))).toMatchObject({ accepted: false });
    const { server } = grpcServer(accept);
    await listen(server, port);
    const startedAt = performance.now();
    await eventually(() =>
      send(commands).then(
        () => true,
        () => false,
      ),
    );
    expect(performance.now() - startedAt).toBeLessThan(2_500);
  });
});

describe('what the server says', () => {
  it.each([
    ['RESOURCE_EXHAUSTED', 8, 'temporal_unavailable', false],
    ['NOT_FOUND (its namespace)', 5, 'temporal_unavailable', false],
    ['PERMISSION_DENIED', 7, 'temporal_unavailable', false],
    ['UNAUTHENTICATED', 16, 'temporal_unavailable', false],
    ['UNAVAILABLE', 14, 'temporal_unavailable', 'unknown'],
    ['INTERNAL', 13, 'temporal_unavailable', 'unknown'],
    ['UNKNOWN', 2, 'temporal_unavailable', 'unknown'],
    ['INVALID_ARGUMENT', 3, 'none', null],
    ['FAILED_PRECONDITION', 9, 'none', null],
  ])('%s', async (_name, status, code, accepted) => {
    const { server } = grpcServer((stream) => refuse(stream, status));
    const { commands } = commandsTo(await listen(server));
    const told = await failure(send(commands));
    expect({ code: told.code, accepted: told.accepted }).toEqual({ code, accepted });
  });

  it('anything that is no status is unknown', () => {
    for (const error of [
      null,
      undefined,
      'x',
      new Error('x'),
      { code: '14' },
      { cause: { cause: null } },
    ])
      expect(fateOf(error)).toBe('unknown');
    const wrapped = { cause: { code: 14, details: 'No connection established. Last error: x' } };
    expect(fateOf(wrapped)).toBe('not-accepted');
    expect(fateOf({ code: 14, details: 'Connection dropped' })).toBe('unknown');
  });
});
