/** Ports: whether one is free, and one that will stay ours although nobody holds it for a moment. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * A free port that is kept over restarts of its server has to lie below the range from which the kernel takes the local
 * ports of outgoing connections (from 32768 on, by default): there somebody else might get it in the meantime.
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;

/** Whether a server could listen there now. */
export async function isPortFree({ host, port }: { host: string; port: number }): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once('error', () => resolve(false));
  server.listen({ host, port, exclusive: true }, () => {
    server.close(() => resolve(true));
  });
  return promise;
}

/** A free port that is none of `taken`. Throws: when there is none after many tries. */
export async function chooseFreePort({
  host,
  taken,
}: {
  host: string;
  taken: readonly number[];
}): Promise<number> {
  for (let tries = 0; tries < 200; tries += 1) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if (!taken.includes(port) && (await isPortFree({ host, port }))) return port;
  }
  throw new Error(`no free port on ${host} between ${LOWEST} and ${HIGHEST}`);
}
