/** The WebSocket's route. Source: protocol.md section 3. */
import type { Socket } from 'node:net';

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';
import type { WebSocket } from 'ws';

import { HoldfastError } from '../../contracts/errors.ts';
import type { Connections } from '../connections.ts';
import { requireProtocol } from '../security.ts';
import { openSession, type SocketDependencies } from '../socket-session.ts';

/** Sockets open at once (W2). Each may hold its high-water mark of unsent bytes. */
const SOCKET_LIMIT = 4_096;
/** A refused peer has this long to read why before it is dropped, and may send so much meanwhile. */
const REFUSED_LINGER_MS = 1_000;
const REFUSED_LIMIT_BYTES = 64 * 1024;

export type SocketRoute = SocketDependencies & {
  connections: Connections;
  onClosed: (code: number) => void;
};

export const socketRoute: FastifyPluginCallback<SocketRoute> = (
  instance,
  { connections, onClosed, ...dependencies },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.route({
    method: 'GET',
    url: '/v1/ws',
    exposeHeadRoute: false,
    config: { document: { summary: 'The WebSocket; asyncapi.json describes it.' } },
    preValidation: (request, _reply, next) => {
      if (!request.ws)
        throw new HoldfastError('invalid_request', 'This address takes a WebSocket.');
      requireProtocol(request.headers);
      if (connections.size >= SOCKET_LIMIT)
        throw new HoldfastError('rate_limited', 'Too many sockets are open.');
      next();
    },
    handler: () => {
      throw new HoldfastError('invalid_request', 'This address takes a WebSocket.');
    },
    wsHandler: (socket, request) => {
      socket.on('close', (code) => onClosed(code));
      const refusal = request.socketRefusal;
      if (refusal !== null) {
        refuse({ socket, stream: request.raw.socket, code: refusal });
        return;
      }
      const connection = openSession({ socket, stream: request.raw.socket }, dependencies);
      connections.add(connection);
      socket.on('close', () => connections.remove(connection));
    },
  });

  done();
};

/** Closes with `code`; the peer, who is nobody to us, gets neither time nor memory. */
function refuse({
  socket,
  stream,
  code,
}: {
  socket: WebSocket;
  stream: Socket;
  code: number;
}): void {
  const timer = setTimeout(() => socket.terminate(), REFUSED_LINGER_MS);
  socket.on('close', () => clearTimeout(timer));
  const before = stream.bytesRead;
  stream.on('data', () => {
    if (stream.bytesRead - before > REFUSED_LIMIT_BYTES) socket.terminate();
  });
  socket.close(code);
}
