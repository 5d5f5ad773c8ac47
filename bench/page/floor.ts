/** The floor of a page: bare HTML with the same words, and a script and a style of the same size that do nothing. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export class BarePage {
  readonly origin: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** `texts`: its rows. `scriptBytes`: what the page's own scripts hold, uncompressed. */
  static async serve({
    texts,
    scriptBytes,
    wordsPerSecond = 0,
  }: {
    texts: readonly string[];
    scriptBytes: number;
    /** So many are put behind the last row by the page itself. */
    wordsPerSecond?: number;
  }): Promise<BarePage> {
    const rows = texts.map((text) => `<article><p>${escaped(text)}</p></article>`).join('\n');
    const html = `<!doctype html><meta charset="utf-8"><title>bare</title><link rel="stylesheet" href="/bare.css"><script type="module" src="/bare.js"></script><div role="log">${rows}</div>`;
    // Code that is parsed and never called: what any page of that size costs.
    const body = 'function f(){return 1+1}\n'.repeat(Math.ceil(scriptBytes / 25));
    const script = `globalThis.bare=()=>{${body}};\nconst log=document.querySelector('[role=log]');log.scrollTop=log.scrollHeight;${wordsPerSecond === 0 ? '' : stream(wordsPerSecond)}`;
    const style =
      'html,body{margin:0;height:100%}[role=log]{height:100%;overflow-y:auto;overflow-anchor:none;font:16px/1.5 sans-serif}article{max-width:44rem;margin:1rem auto;white-space:pre-wrap}';
    const files: Record<string, [type: string, body: string]> = {
      '/': ['text/html; charset=utf-8', html],
      '/bare.js': ['text/javascript', script],
      '/bare.css': ['text/css', style],
    };
    const server = createServer((request, response) => {
      const [type, content] = files[request.url ?? ''] ?? [];
      if (type === undefined) response.writeHead(404).end();
      else response.writeHead(200, { 'content-type': type }).end(content);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new BarePage(server);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** A row each five seconds, so that none grows for ever. */
function stream(wordsPerSecond: number): string {
  return `let n=0,row;setInterval(()=>{if(n%${wordsPerSecond * 5}===0){row=document.createElement('p');log.append(document.createElement('article'));log.lastChild.append(row)}row.append('word'+n+++' ');log.scrollTop=log.scrollHeight},${1_000 / wordsPerSecond})`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
