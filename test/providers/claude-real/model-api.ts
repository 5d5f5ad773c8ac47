/**
 * A scripted model on loopback that speaks enough of the Anthropic Messages API (SSE) for a real Claude Code.
 *
 * A request that brings tools is a turn's: it gets the next answer of the script, in order. Any other (a title, a quota
 * check) gets a few words. Everything asked is kept in `requests`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Part =
  | { type: 'text'; text: string }
  | { type: 'thinking'; text: string }
  | { type: 'tool'; name: string; input: Record<string, unknown> };

export type Answer =
  | { type: 'message'; parts: Part[]; everyMs?: number }
  /** Streams the words, then goes silent until the caller hangs up. */
  | { type: 'stall'; text: string; everyMs?: number }
  /** Streams the words, then cuts the connection. */
  | { type: 'cut'; text: string }
  | { type: 'error'; status: number; error: string };

export type ModelRequest = { messages: unknown[]; model: string };

export type ModelApi = {
  url: string;
  requests: ModelRequest[];
  /** Answers to come, in order; when they run out, `Done.` */
  script: Answer[];
  close: () => Promise<void>;
};

const TOKENS_PER_MESSAGE = 100;

export async function startModelApi(): Promise<ModelApi> {
  const requests: ModelRequest[] = [];
  const script: Answer[] = [];
  let messages = 0;
  const server = createServer((request, response) => {
    void serve(request, response).catch(() => response.destroy());
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method !== 'POST' || !request.url?.includes('/v1/messages')) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    const body = JSON.parse(Buffer.concat(chunks).toString()) as {
      messages: unknown[];
      model: string;
      stream?: boolean;
      tools?: unknown[];
    };
    if (request.url.includes('count_tokens')) {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"input_tokens":10}');
      return;
    }
    const ofTurn = (body.tools?.length ?? 0) > 0;
    if (ofTurn) requests.push({ messages: body.messages, model: body.model });
    const done: Answer = { type: 'message', parts: [{ type: 'text', text: 'Done.' }] };
    const answer = ofTurn ? (script.shift() ?? done) : done;
    messages += 1;
    const id = `msg_scripted_${messages}`;
    if (answer.type === 'error') {
      response
        .writeHead(answer.status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ type: 'error', error: { type: answer.error, message: 'scripted' } }));
      return;
    }
    if (body.stream === true) await stream({ response, id, model: body.model, answer });
    else whole({ response, id, model: body.model, answer });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    script,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Reply = {
  response: ServerResponse;
  id: string;
  model: string;
  answer: Exclude<Answer, { type: 'error' }>;
};

function partsOf(answer: Reply['answer']): Part[] {
  return answer.type === 'message' ? answer.parts : [{ type: 'text', text: answer.text }];
}

function message({ id, model }: Reply, content: unknown[], reason: string | null): unknown {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content,
    stop_reason: reason,
    stop_sequence: null,
    usage: { input_tokens: TOKENS_PER_MESSAGE, output_tokens: 1 },
  };
}

function stopReason(parts: Part[]): string {
  return parts.some(({ type }) => type === 'tool') ? 'tool_use' : 'end_turn';
}

function whole(reply: Reply): void {
  const parts = partsOf(reply.answer);
  const content = parts.map((part, index) =>
    part.type === 'tool'
      ? { type: 'tool_use', id: `toolu_${reply.id}_${index}`, name: part.name, input: part.input }
      : { type: 'text', text: part.text },
  );
  reply.response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify(message(reply, content, stopReason(parts))));
}

async function stream(reply: Reply): Promise<void> {
  const { response, id, answer } = reply;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (event: { type: string } & Record<string, unknown>): void => {
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const everyMs = 'everyMs' in answer ? (answer.everyMs ?? 0) : 0;
  const parts = partsOf(answer);
  send({ type: 'message_start', message: message(reply, [], null) });
  let words = 0;
  for (const [index, part] of parts.entries()) {
    const tool = part.type === 'tool';
    send({
      type: 'content_block_start',
      index,
      content_block: tool
        ? { type: 'tool_use', id: `toolu_${id}_${index}`, name: part.name, input: {} }
        : part.type === 'text'
          ? { type: 'text', text: '' }
          : { type: 'thinking', thinking: '', signature: '' },
    });
    const content = tool ? JSON.stringify(part.input) : part.text;
    for (const piece of tool ? [content] : content.split(/(?<= )/)) {
      if (response.destroyed) return;
      if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs));
      words += 1;
      send({
        type: 'content_block_delta',
        index,
        delta: tool
          ? { type: 'input_json_delta', partial_json: piece }
          : part.type === 'text'
            ? { type: 'text_delta', text: piece }
            : { type: 'thinking_delta', thinking: piece },
      });
    }
    if (answer.type === 'stall') return;
    if (answer.type === 'cut') {
      // a reader that finds text and end at once throws the text away
      await new Promise((resolve) => setTimeout(resolve, 200));
      response.destroy();
      return;
    }
    if (part.type === 'thinking')
      send({
        type: 'content_block_delta',
        index,
        delta: { type: 'signature_delta', signature: 'c2ln' },
      });
    send({ type: 'content_block_stop', index });
  }
  send({
    type: 'message_delta',
    delta: { stop_reason: stopReason(parts), stop_sequence: null },
    usage: { output_tokens: words },
  });
  send({ type: 'message_stop' });
  response.end();
}
