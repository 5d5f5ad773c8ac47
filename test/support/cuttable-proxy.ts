/**
 * A way to the gateway that can be cut: bytes go both ways until then. What a browser calls offline leaves open WebSockets alone,
 * and a network that is gone does not.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class CuttableProxy {
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  #target: { host: string; port: number } | null = null;
  #isCut = false;

  private constructor() {
    this.#server = createServer((client) => this.#join(client));
  }

  static async listen(): Promise<CuttableProxy> {
    const proxy = new CuttableProxy();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** host:port, as a Host header names it. */
  get host(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || address === null) throw new Error('does not listen');
    return `127.0.0.1:${address.port}`;
  }

  /** Where the bytes go from now on: an address as `http://127.0.0.1:4610`. */
  leadTo(api: string): void {
    const { hostname, port } = new URL(api);
    this.#target = { host: hostname, port: Number(port) };
  }

  /** Ends every connection at once, as a network does that goes away, and takes no new one. */
  cut(): void {
    this.#isCut = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket): void {
    if (this.#isCut || this.#target === null) {
      client.resetAndDestroy();
      return;
    }
    const gateway = connect(this.#target);
    const pair: [Socket, Socket] = [client, gateway];
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        for (const either of pair) either.destroy();
        this.#pairs.delete(pair);
      });
    }
    client.pipe(gateway);
    gateway.pipe(client);
  }
}
