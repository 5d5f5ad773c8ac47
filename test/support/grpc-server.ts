/** HTTP/2 servers that speak gRPC as far as a test wants it: they answer, refuse, hang or break off. Each ends with its test. */
import { once } from 'node:events';
import {
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';

import { onTestFinished } from 'vitest';

/** A port on which nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export async function listen(server: Server | Http2Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** A gRPC server whose every call is given to `answer`; with its open connections. */
export function grpcServer(
  answer: (stream: ServerHttp2Stream, path: string, body: string) => void,
) {
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    let body = '';
    stream.on('data', (bytes: Buffer) => (body += bytes.toString('latin1')));
    stream.on('end', () => answer(stream, String(headers[':path']), body));
  });
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
  });
  return { server, sessions, breakOff: () => sessions.forEach((session) => session.destroy()) };
}

/** Answers with an empty message: all of its fields have their defaults. */
export function accept(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.from([0, 0, 0, 0, 0]));
}

/** Fails, in the headers, as a call that gets no further. */
export function refuse(stream: ServerHttp2Stream, status: number, message = 'no'): void {
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(status),
      'grpc-message': message,
    },
    { endStream: true },
  );
}
