import { once } from 'node:events';
import { request } from 'node:http';

import { expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { BODY_LIMIT_BYTES, FRAME_LIMIT_BYTES } from '../../src/contracts/limits.ts';
import { Gateway, TOKEN } from './gateway-harness.ts';

/** The product's own: only so much data is still on its way when the limit is noticed. */
const config = { bodyLimitBytes: BODY_LIMIT_BYTES, frameLimitBytes: FRAME_LIMIT_BYTES };

/** A plain client that hears the answer only when the connection is not reset while it still writes. */
function post(port: number, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: '/v1/conversations',
        headers: {
          authorization: `Bearer ${TOKEN}`,
          'content-type': 'application/json',
          'content-length': bytes,
        },
      },
      (answer) => {
        answer.resume();
        answer.on('end', () => {
          resolve(answer.statusCode ?? 0);
          call.destroy();
        });
      },
    );
    call.on('error', reject);
    call.end(Buffer.alloc(bytes, ' '));
  });
}

test('a body one byte over the limit is answered 413, every time', async () => {
  const { port } = await Gateway.start({ config });
  for (let round = 0; round < 8; round += 1)
    expect(await post(port, BODY_LIMIT_BYTES + 1)).toBe(413);
}, 60_000);

test('a frame one byte over the limit closes with 1009, every time; one of the limit is taken', async () => {
  const { port } = await Gateway.start({ config });
  const open = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`, 'holdfast.v1', {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    await once(socket, 'open');
    return socket;
  };
  for (let round = 0; round < 8; round += 1) {
    const socket = await open();
    const closed = once(socket, 'close');
    socket.on('error', () => undefined);
    socket.send('x'.repeat(FRAME_LIMIT_BYTES + 1));
    expect((await closed)[0]).toBe(1009);
  }
  const socket = await open();
  const frame = '{"type":"ping"}';
  const answered = once(socket, 'message');
  socket.send(frame.padEnd(FRAME_LIMIT_BYTES, ' '));
  expect(String((await answered)[0])).toContain('pong');
  socket.close();
}, 60_000);
