/**
 * Server-Sent Events from chunks of text, cut anywhere. Each character is looked at once: a line that comes in many
 * chunks is put together only when it is whole.
 *
 * Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (a lone CR as a line's end is not supported).
 */
export type StreamMessage = { id: string | null; event: string | null; data: string };

export class EventStreamParser {
  #unfinished: string[] = [];
  #data: string[] = [];
  #id: string | null = null;
  #event: string | null = null;

  /** The messages that `chunk` completes. */
  *feed(chunk: string): Generator<StreamMessage> {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      this.#unfinished.push(chunk.slice(start, end));
      start = end + 1;
      const line = this.#unfinished.join('');
      this.#unfinished = [];
      const message = this.#line(line.endsWith('\r') ? line.slice(0, -1) : line);
      if (message !== null) yield message;
    }
    if (start < chunk.length) this.#unfinished.push(chunk.slice(start));
  }

  #line(line: string): StreamMessage | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'data') this.#data.push(value);
    if (name === 'event') this.#event = value;
    if (name === 'id') this.#id = value;
    return null;
  }

  /** At an empty line; a message without data (a comment that keeps the connection alive) is none. */
  #dispatch(): StreamMessage | null {
    const message =
      this.#data.length === 0
        ? null
        : { id: this.#id, event: this.#event, data: this.#data.join('\n') };
    this.#data = [];
    this.#event = null;
    return message;
  }
}
