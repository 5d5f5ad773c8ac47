/**
 * The scripted provider: a real program that stands in for an agent CLI (protocol.md section 8).
 *
 *   node program.mjs [--session-id UUID | --resume UUID] [--model NAME] [--mcp-config FILE]
 *
 * It speaks NDJSON both ways; wire.ts has the shapes of both directions. Run by hand:
 *
 *   printf '%s\n' '{"type":"turn","id":"t1","prompt":"#script\nwords 5 every 100"}' | node program.mjs
 *
 * Invariants:
 *  1 Every turn frame gets one `session` line first and one `end` line last, unless the process dies (`exit`, a signal).
 *  2 A line is complete when its write returns: nothing is buffered that an exit could lose, lines never interleave.
 *  3 Turns run one after another, in the order of their frames.
 *  4 Any step, and the wait between two, gives way to a cancel at once, except after `ignore-cancel`.
 *  5 The end of stdin ends the process when the turns read so far have ended; it never ends a turn.
 *  6 Memory does not grow with what is streamed: whole texts are repeated only up to a size.
 *  7 A message for the running turn is taken once, after a word or a step, in the order of the frames; or never.
 *  8 What a step tells another agent has an id that follows from the step: told again, since nobody knows whether it was heard, it
 *    is one message.
 *
 * This is a .mjs file because its start is part of what is measured: on the machine it was written on, Node 24
 * writes its first line after 37 ms, and after 98 ms when it has to strip types. Builtin modules are taken by
 * `getBuiltinModule`, when needed, for the same reason: with `import` it is 6 ms more. The MCP client takes 250 ms and 30 MB, so it is
 * loaded by the first step that calls a tool of Holdfast's.
 */

/** @import { Client } from '@modelcontextprotocol/client' */
/** @import { FrameToProgram, LineFromProgram } from './wire.ts' */

const { readSync, writeSync } = process.getBuiltinModule('node:fs');

/** The text of one delta of `flood`: a number, so that a lost or repeated one shows, and a filler. */
const FLOOD_DELTA_CHARS = 32;
const FLOOD_FILLER = ' flooding the reader now';
/** Lines of a flood go out together up to about this size; a cancel is looked for in between. */
const FLOOD_WRITE_CHARS = 64 * 1024;
/** Blocks and tools end with their whole text up to this size; of a larger one the end repeats nothing. */
const REPEATED_CHARS = 64 * 1024;
/** A delay of setTimeout that is longer becomes 1 ms. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
/** Steps without a pause look for a cancel after so many lines. */
const LINES_BETWEEN_LOOKS = 128;
const PLAIN_ANSWER_EVERY_MS = 8;
/** A gateway that is being started again is back within a few seconds. */
const TOOL_LIMIT_MS = 30_000;
/** One try of a call; the gateway answers within its receipt wait (5 s), or says why not. */
const TOOL_TRY_MS = 15_000;
const TOOL_AGAIN_MS = 200;
/** Begins what the engine has put before a message of another agent (domain/mail.ts). */
const MAIL_HEADING = '[Holdfast mail] ';

/** `size` deltas, one every so many ms, or as many as go @typedef {{ every: number | 'flood', size: number, at: (index: number) => string }} Stream */
/** @typedef {{ id: string, kind: 'delta' | 'think', streams: { stream: Stream, sent: number }[], text: Repeated }} Block */
/** @typedef {{ line: number, run: (turn: Turn) => void | Promise<void> }} Step */
/** @typedef {{ decision: 'allow' | 'deny', message: string | null }} Answer */
/** @typedef {{ ok: boolean, text: string }} ToolEnd */

/** Thrown through a step to end its turn. */
class TurnEnd extends Error {
  /** @param {Extract<LineFromProgram, { type: 'end' }>['outcome']} outcome
   *  @param {string} [code] @param {string} [text] */
  constructor(outcome, code, text) {
    super(text ?? outcome);
    this.outcome = outcome;
    this.code = code;
  }
}

/** A text that grows, kept up to a size (invariant 6). */
class Repeated {
  /** @type {string | null} Null once it was too much. */
  whole = '';

  /** @param {string} more */
  add(more) {
    if (this.whole === null) return;
    this.whole = this.whole.length + more.length > REPEATED_CHARS ? null : this.whole + more;
  }
}

// ------------------------------------------------------------------------------------- the process

/** @param {string} name */
function option(name) {
  const index = process.argv.indexOf(name);
  return index === -1 ? null : (process.argv[index + 1] ?? null);
}

const sessionId =
  option('--resume') ??
  option('--session-id') ??
  process.getBuiltinModule('node:crypto').randomUUID();
const model = option('--model');
const mcpConfig = option('--mcp-config');
const resumed = option('--resume') !== null;

let ignoresCancel = false;
let stdinEnded = false;
let turns = 0;
let blocks = 0;
let tools = 0;

/** The connection to Holdfast's tools, once a step has used one. @type {Promise<Client> | null} */
let team = null;

let working = false;
/** @type {Turn | null} */
let running = null;
/** @type {{ id: string, prompt: string, history: string | null, cancelled: boolean }[]} */
const waiting = [];

// --------------------------------------------------------------------------------------------- out

/** Writes all of `data` before it returns (invariant 2). A reader that is slow makes it wait. @param {Buffer} data */
function writeAll(data) {
  for (let offset = 0; offset < data.length;) {
    try {
      offset += writeSync(1, data, offset);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null;
      // the reader is gone: there is nobody to be told
      if (code === 'EPIPE') process.exit(1);
      // stdout is a non-blocking pipe or terminal of the caller, and full
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** @param {LineFromProgram} line */
function say(line) {
  writeAll(Buffer.from(`${JSON.stringify(line)}\n`));
}

// --------------------------------------------------------------------------------------------- turn

/** One turn: what its steps may do. */
class Turn {
  cancelled = false;
  /** @type {(() => void) | null} Ends the running pause. */
  wake = null;
  /** @type {Block | null} */
  open = null;
  /** @type {{ id: string, resolve: (answer: Answer | null) => void } | null} */
  asking = null;
  retries = 0;
  /** Messages for this turn that it has not taken. @type {{ id: string, content: string }[]} */
  offered = [];
  /** Their ids, taken or not. @type {Set<string>} */
  known = new Set();
  takesNone = false;

  /** @param {string} id @param {string | null} history */
  constructor(id, history) {
    this.id = id;
    this.history = history;
  }

  /** @param {{ id: string, content: string }} message */
  offer(message) {
    if (this.takesNone || this.known.has(message.id)) return;
    this.known.add(message.id);
    this.offered.push(message);
  }

  /** Takes in what was offered, and quotes it (invariant 7). */
  take() {
    for (const { id, content } of this.offered.splice(0)) {
      this.close();
      say({ type: 'steered', id });
      const text = `steered: ${content.trim().split('\n', 1)[0] ?? ''}\n`;
      const block = this.block('delta');
      block.streams.push({ stream: { every: 0, size: 1, at: () => text }, sent: 1 });
      block.text.add(text);
      say({ type: 'delta', block: block.id, text });
    }
  }

  cancel() {
    this.cancelled = true;
    this.wake?.();
  }

  /** Throws when the turn was cancelled (invariant 4). */
  look() {
    if (this.cancelled) throw new TurnEnd('cancelled');
  }

  /** Waits so long, or until a cancel. @param {number} ms */
  async pause(ms) {
    this.look();
    await new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, LONGEST_TIMEOUT_MS));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = null;
    this.look();
  }

  /** Lets what has arrived on stdin be read. */
  async breathe() {
    await new Promise((resolve) => setImmediate(resolve));
    this.look();
  }

  /**
   * The open block when it is of this kind, else a new one after closing the other.
   * @param {Block['kind']} kind
   */
  block(kind) {
    if (this.open?.kind === kind) return this.open;
    this.close();
    blocks += 1;
    this.open = { id: `b${blocks}`, kind, streams: [], text: new Repeated() };
    return this.open;
  }

  /** Ends the open block, as a CLI does before a tool, another kind of text, and its end. */
  close() {
    const { open } = this;
    if (open === null) return;
    this.open = null;
    const { whole: text } = open.text;
    if (text === null) return;
    const kind = open.kind === 'delta' ? 'text' : 'reasoning';
    say({ type: 'block.end', block: open.id, kind, text });
  }

  /**
   * Streams deltas: each leaves with a write of its own at its time, counted from the start, so that a late one
   * makes no other late.
   * @param {Block['kind']} kind @param {Stream} stream
   */
  async stream(kind, stream) {
    const { every } = stream;
    if (every === 'flood') {
      await this.flood(stream);
      return;
    }
    let block = this.block(kind);
    let piece = { stream, sent: 0 };
    block.streams.push(piece);
    const start = performance.now();
    for (let index = 0; index < stream.size; index += 1) {
      const early = start + index * every - performance.now();
      if (early >= 0.5) await this.pause(Math.round(early));
      else if (index % LINES_BETWEEN_LOOKS === LINES_BETWEEN_LOOKS - 1) await this.breathe();
      if (this.offered.length > 0) {
        const from = index;
        this.take();
        block = this.block(kind);
        piece = { stream: { ...stream, at: (after) => stream.at(from + after) }, sent: 0 };
        block.streams.push(piece);
      }
      const text = stream.at(index);
      say({ type: kind, block: block.id, text });
      piece.sent += 1;
      block.text.add(text);
    }
  }

  /** Streams deltas at full speed, many in one write. @param {Stream} stream */
  async flood(stream) {
    const block = this.block('delta');
    const piece = { stream, sent: 0 };
    block.streams.push(piece);
    const head = `{"type":"delta","block":"${block.id}","text":"`;
    while (piece.sent < stream.size) {
      let lines = '';
      // the text of a flood needs no escape
      while (lines.length < FLOOD_WRITE_CHARS && piece.sent < stream.size) {
        const text = stream.at(piece.sent);
        lines += `${head}${text}"}\n`;
        piece.sent += 1;
        block.text.add(text);
      }
      writeAll(Buffer.from(lines, 'latin1'));
      await this.breathe();
    }
  }

  /** The open text once more, as a CLI does when its connection was cut and it asks the model again. */
  async retry() {
    const { open } = this;
    this.retries += 1;
    const told = { attempt: this.retries, delayMs: 0, status: 'scripted' };
    if (open === null) {
      say({ type: 'retry', ...told });
      return;
    }
    say({ type: 'retry', block: open.id, ...told });
    this.open = null;
    for (const { stream, sent } of open.streams) {
      const every = stream.every === 'flood' ? 'flood' : 0;
      await this.stream(open.kind, { ...stream, every, size: sent });
    }
  }

  /** @param {{ name: string, forMs: number, prints: number, ask: boolean }} call */
  async tool({ name, forMs, prints, ask }) {
    this.close();
    tools += 1;
    const toolCallId = `tool-${tools}`;
    const input = { forMs, prints };
    /** @param {'ok' | 'error' | 'denied'} status @param {string} output */
    const end = (status, output) => say({ type: 'tool.end', toolCallId, status, output });
    say({ type: 'tool.start', toolCallId, name, input });
    const output = new Repeated();
    let allowed = !ask;
    try {
      if (ask) {
        const answer = await this.ask({ toolCallId, title: `Run ${name}`, input });
        if (answer.decision === 'deny') {
          end('denied', answer.message ?? 'denied');
          return;
        }
        allowed = true;
      }
      const start = performance.now();
      for (let index = 1; index <= prints; index += 1) {
        const early = start + (forMs * index) / (prints + 1) - performance.now();
        if (early >= 0.5) await this.pause(Math.round(early));
        else if (index % LINES_BETWEEN_LOOKS === 0) await this.breathe();
        const text = `${name} line ${index}\n`;
        say({ type: 'tool.output', toolCallId, text });
        output.add(text);
      }
      const left = start + forMs - performance.now();
      if (left > 0) await this.pause(left);
    } catch (error) {
      end(allowed ? 'error' : 'denied', output.whole ?? '');
      throw error;
    }
    end('ok', output.whole ?? '');
  }

  /**
   * Calls a tool of Holdfast's and shows it as every tool call. Answers with its text; null when it was refused or not reached.
   * @param {string} name @param {Record<string, unknown>} input @returns {Promise<string | null>}
   */
  async callTeam(name, input) {
    this.look();
    this.close();
    tools += 1;
    const toolCallId = `tool-${tools}`;
    say({ type: 'tool.start', toolCallId, name, input });
    const stopped = new AbortController();
    // not left to the call: one that is only being connected hears of no abort
    const { ok, text } = await new Promise((/** @type {(end: ToolEnd) => void} */ resolve) => {
      this.wake = () => {
        stopped.abort();
        resolve({ ok: false, text: 'cancelled' });
      };
      void callTool(name, input, stopped.signal).then(resolve);
    });
    this.wake = null;
    say({ type: 'tool.end', toolCallId, status: ok ? 'ok' : 'error', output: text });
    this.look();
    return ok ? text : null;
  }

  /** @param {{ toolCallId: string, title: string, input: unknown }} request @returns {Promise<Answer>} */
  async ask({ toolCallId, title, input }) {
    this.look();
    const approvalId = process.getBuiltinModule('node:crypto').randomUUID();
    say({ type: 'approval', approvalId, toolCallId, title, input, options: ['allow', 'deny'] });
    /** @type {Answer | null} */
    const answer = stdinEnded
      ? null
      : await new Promise((resolve) => {
          this.asking = { id: approvalId, resolve };
          this.wake = () => resolve(null);
        });
    this.asking = null;
    this.wake = null;
    if (answer !== null) return answer;
    const reason = this.cancelled ? 'cancelled' : 'nobody is left to answer';
    say({ type: 'approval.gone', approvalId, reason });
    this.look();
    return { decision: 'deny', message: reason };
  }
}

/** @param {typeof waiting[number]} frame */
async function runTurn({ id, prompt, history, cancelled }) {
  const turn = new Turn(id, history);
  running = turn;
  turns += 1;
  turn.cancelled = cancelled;
  say({ type: 'session', turn: id, sessionId, ...(model === null ? {} : { model }) });
  let end = new TurnEnd('completed');
  try {
    for (const step of parsePrompt(prompt)) {
      turn.look();
      await step.run(turn);
      turn.take();
    }
    turn.look();
    turn.close();
  } catch (error) {
    end =
      error instanceof TurnEnd
        ? error
        : new TurnEnd(
            'failed',
            'provider_error',
            error instanceof Error ? error.message : 'unknown',
          );
  }
  running = null;
  const { outcome, code, message } = end;
  say({
    type: 'end',
    turn: id,
    outcome,
    ...(outcome === 'failed' ? { code: code ?? 'provider_error', message } : {}),
  });
}

// --------------------------------------------------------------------------------------------- team

/**
 * One call, tried again for a while when the gateway cannot be reached. Does not throw.
 * @param {string} name @param {Record<string, unknown>} input @param {AbortSignal} signal
 * @returns {Promise<ToolEnd>}
 */
async function callTool(name, input, signal) {
  if (mcpConfig === null) return { ok: false, text: 'There is no --mcp-config: this is no agent.' };
  const deadline = performance.now() + TOOL_LIMIT_MS;
  for (;;) {
    try {
      team ??= connectTeam(mcpConfig);
      const client = await team;
      const timeout = Math.min(TOOL_TRY_MS, Math.max(1, deadline - performance.now()));
      const result = await client.callTool({ name, arguments: input }, { signal, timeout });
      const text = result.content.map((part) => (part.type === 'text' ? part.text : '')).join('');
      return { ok: result.isError !== true, text };
    } catch (error) {
      team?.then((client) => client.close()).catch(() => {});
      team = null;
      const text = error instanceof Error ? error.message : String(error);
      if (signal.aborted || !isPassing(error) || performance.now() > deadline)
        return { ok: false, text };
      await new Promise((resolve) => setTimeout(resolve, TOOL_AGAIN_MS));
    }
  }
}

/** @param {string} file @returns {Promise<Client>} */
async function connectTeam(file) {
  const { url, headers } = readServer(file);
  const { Client: McpClient, StreamableHTTPClientTransport } =
    await import('@modelcontextprotocol/client');
  const client = new McpClient({ name: 'scripted', version: '1' });
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport, { timeout: TOOL_TRY_MS });
  return client;
}

/** The server that --mcp-config names. @param {string} file */
function readServer(file) {
  const { readFileSync } = process.getBuiltinModule('node:fs');
  /** @type {unknown} */
  const config = JSON.parse(readFileSync(file, 'utf8'));
  const server = fieldOf(fieldOf(config, 'mcpServers'), 'holdfast');
  /** @type {Record<string, string>} */
  const headers = {};
  for (const [name, value] of Object.entries(fieldOf(server, 'headers') ?? {}))
    headers[name] = String(value);
  return { url: new URL(String(fieldOf(server, 'url'))), headers };
}

/** @param {unknown} value @param {string} name @returns {unknown} */
function fieldOf(value, name) {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** Whether nobody was reached, or nobody answered: not a refusal. @param {unknown} error */
function isPassing(error) {
  if (error instanceof Error && 'status' in error && typeof error.status === 'number')
    return error.status >= 500;
  // JSON-RPC's own error codes are numbers, the client's are words
  return !(error instanceof Error && 'code' in error && typeof error.code === 'number');
}

// ------------------------------------------------------------------------------------------- script

/**
 * The steps of a prompt. All of a script is read before any of it runs. A prompt may be the mail of several agents, each under a
 * heading of its own: those that are scripts are run one after the other, and the others are there to be read by a model.
 * @param {string} prompt @returns {Step[]}
 */
function parsePrompt(prompt) {
  /** What stands before the first heading, then under each. @type {{ line: number, text: string }[][]} */
  const parts = [[]];
  prompt.split(/\r?\n/).forEach((text, index) => {
    if (text.startsWith(MAIL_HEADING)) parts.push([]);
    else parts.at(-1)?.push({ line: index + 1, text: text.trim() });
  });
  const scripts = parts.filter(([first]) => first?.text === '#script');
  // words of a person before any mail, or nothing but words
  const isScript = scripts.length > 0 && (scripts[0] === parts[0] || isBlank(parts[0] ?? []));
  if (!isScript) return plainAnswer(prompt);
  return scripts.flat().flatMap(({ line, text }) => {
    if (text === '' || text.startsWith('#')) return [];
    return [{ line, run: parseStep(text, line) }];
  });
}

/** @param {{ text: string }[]} lines */
function isBlank(lines) {
  return lines.every(({ text }) => text === '');
}

/** @param {string} prompt @returns {Step[]} */
function plainAnswer(prompt) {
  const first = prompt.trim().split('\n', 1)[0] ?? '';
  const quoted = first.length > 60 ? `${first.slice(0, 60)}…` : first;
  const words = (
    `Hello, this is the scripted provider: a small program that stands in for an agent, with no model behind it. ` +
    `You wrote “${quoted}”, ${prompt.length} characters in all. ` +
    `When the first line of a prompt is #script, I do what the lines below it say, one step a line: ` +
    `“words 20 every 50” streams twenty words, “tool build for 500 prints 3” calls a tool, ` +
    `“ask deploy” asks you first, “sleep 2000” keeps you waiting, “fail some reason” ends badly.`
  ).split(/(?<= )/);
  const outputTokens = words.length;
  return [
    {
      line: 1,
      run: async (turn) => {
        const at = (/** @type {number} */ index) => words[index] ?? '';
        await turn.stream('delta', { every: PLAIN_ANSWER_EVERY_MS, size: words.length, at });
        const inputTokens = Math.ceil(prompt.length / 4);
        say({ type: 'usage', usage: { inputTokens, outputTokens, costUsd: 0 } });
      },
    },
  ];
}

/** @param {string} step @param {number} line @returns {Step['run']} */
function parseStep(step, line) {
  const [name = '', ...words] = step.split(/\s+/);
  const rest = step.slice(name.length).trim();

  /** @param {string} expected @returns {never} */
  const refuse = (expected) => {
    throw new TurnEnd(
      'failed',
      'script_error',
      `line ${line}: "${step.slice(0, 200)}": ${expected}`,
    );
  };
  /** @param {string | undefined} word @param {string} what */
  const whole = (word, what) =>
    word !== undefined && /^\d{1,9}$/.test(word)
      ? Number(word)
      : refuse(`${what} must be a whole number`);
  /** @param {string | undefined} word @param {string} what */
  const decimal = (word, what) =>
    word !== undefined && /^\d{1,10}(\.\d{1,9})?$/.test(word)
      ? Number(word)
      : refuse(`${what} must be a number`);
  /** The words after the first `skip`, as keyword and number. @param {number} skip @param {string[]} keywords */
  const options = (skip, keywords) => {
    /** @type {Record<string, number>} */
    const found = {};
    for (let index = skip; index < words.length; index += 2) {
      const keyword = words[index] ?? '';
      if (!keywords.includes(keyword) || keyword in found)
        refuse(`"${keyword}" has no meaning there`);
      found[keyword] =
        keyword === 'prints'
          ? whole(words[index + 1], keyword)
          : decimal(words[index + 1], keyword);
    }
    return found;
  };
  /** @param {number} count */
  const exactly = (count) => {
    if (words.length !== count)
      refuse(count === 0 ? `${name} stands alone` : `${name} takes ${count} word(s)`);
  };
  /** @param {Block['kind']} kind @param {string} letter @returns {Step['run']} */
  const numbered = (kind, letter) => {
    const size = whole(words[0], 'the count');
    const { every = 0 } = options(1, ['every']);
    return (turn) => turn.stream(kind, { every, size, at: (index) => `${letter}${index} ` });
  };

  switch (name) {
    case 'words':
      return numbered('delta', 'w');
    case 'think':
      return numbered('think', 't');
    case 'stamps': {
      // For measuring: each delta is the moment it was written, in milliseconds since 1970, with microseconds.
      const size = whole(words[0], 'the count');
      const { every = 0 } = options(1, ['every']);
      const at = () => `${(performance.timeOrigin + performance.now()).toFixed(3)} `;
      return (turn) => turn.stream('delta', { every, size, at });
    }
    case 'text': {
      const text = parseString(rest) ?? refuse('text takes one JSON string');
      return once(() => text);
    }
    case 'tool': {
      const tool = words[0] ?? refuse('a tool has a name');
      const { for: forMs = 0, prints = 0 } = options(1, ['for', 'prints']);
      return (turn) => turn.tool({ name: tool, forMs, prints, ask: false });
    }
    case 'ask': {
      const tool = words[0] ?? refuse('a tool has a name');
      exactly(1);
      return (turn) => turn.tool({ name: tool, forMs: 0, prints: 1, ask: true });
    }
    case 'garbage':
      exactly(0);
      return () => {
        writeAll(Buffer.from('this line is not JSON\n'));
        writeAll(Buffer.from([0xff, 0xfe, 0x80, 0xc3, 0x28, 0x0a]));
      };
    case 'usage': {
      exactly(3);
      const usage = {
        inputTokens: whole(words[0], 'IN'),
        outputTokens: whole(words[1], 'OUT'),
        costUsd: decimal(words[2], 'COST'),
      };
      return () => say({ type: 'usage', usage });
    }
    case 'exit': {
      exactly(1);
      const code = whole(words[0], 'the code');
      if (code > 255) refuse('the code is at most 255');
      return () => process.exit(code);
    }
    case 'hang': {
      const onlyOnce = words[0] === 'once';
      if (words.length > (onlyOnce ? 1 : 0)) refuse('hang stands alone, or takes the word once');
      return async (turn) => {
        while (!onlyOnce || !resumed) await turn.pause(LONGEST_TIMEOUT_MS);
      };
    }
    case 'sleep': {
      exactly(1);
      const ms = decimal(words[0], 'MS');
      if (ms > LONGEST_TIMEOUT_MS) refuse(`MS is at most ${LONGEST_TIMEOUT_MS}`);
      return (turn) => turn.pause(ms);
    }
    case 'ignore-cancel':
      exactly(0);
      return () => {
        if (!ignoresCancel) process.on('SIGTERM', () => {});
        ignoresCancel = true;
      };
    case 'no-steer':
      exactly(0);
      return (turn) => {
        turn.takesNone = true;
      };
    case 'child':
      exactly(0);
      return leaveChild;
    case 'retry':
      exactly(0);
      return (turn) => turn.retry();
    case 'flood': {
      exactly(1);
      const chars = Math.round(decimal(words[0], 'MB') * 1024 * 1024);
      const size = Math.ceil(chars / FLOOD_DELTA_CHARS);
      const last = chars - (size - 1) * FLOOD_DELTA_CHARS;
      const at = (/** @type {number} */ index) => {
        const text = String(index % 1e8).padStart(8, '0') + FLOOD_FILLER;
        return index === size - 1 ? text.slice(0, last) : text;
      };
      return (turn) => turn.stream('delta', { every: 'flood', size, at });
    }
    case 'fail':
      return () => {
        throw new TurnEnd('failed', 'provider_error', rest === '' ? 'failed' : rest);
      };
    case 'spawn': {
      const { agent, text } = parseTold(rest) ?? refuse('spawn takes a NAME and one JSON string');
      return async (turn) => {
        await turn.callTeam('spawn_agent', { name: agent, prompt: text, agent_id: agent });
      };
    }
    case 'tell': {
      const { agent, text } = parseTold(rest) ?? refuse('tell takes a NAME and one JSON string');
      return async (turn) => {
        const message = { to: agent, content: text, message_id: messageId(turn, line) };
        await turn.callTeam('send_message', message);
      };
    }
    case 'inbox':
    case 'team': {
      exactly(0);
      const tool = name === 'inbox' ? 'check_inbox' : 'list_team';
      return async (turn) => {
        const answer = await turn.callTeam(tool, {});
        if (answer !== null) await once(() => answer)(turn);
      };
    }
    case 'say':
      return parseFact(words) ?? refuse('say takes cwd, session, turns, history or env NAME');
    default:
      return refuse('there is no such step');
  }
}

/** One delta, its text known when the step runs. @param {(turn: Turn) => string} text @returns {Step['run']} */
function once(text) {
  return (turn) => {
    const fixed = text(turn);
    return turn.stream('delta', { every: 0, size: 1, at: () => fixed });
  };
}

/** @param {string[]} words */
function parseFact([fact, variable, ...more]) {
  if (more.length > 0) return null;
  if (fact === 'env' && variable !== undefined) {
    // never the value: a transcript is no place for a secret
    // oxlint-disable-next-line law/environment -- the provider's own environment is what it is asked about
    return once(() => (Object.hasOwn(process.env, variable) ? 'set' : 'unset'));
  }
  if (variable !== undefined) return null;
  if (fact === 'cwd') return once(() => process.cwd());
  if (fact === 'session') return once(() => sessionId);
  if (fact === 'turns') return once(() => String(turns));
  if (fact === 'history')
    return once(({ history }) => (history ?? 'none').slice(0, REPEATED_CHARS));
  return null;
}

/** A process that outlives this one: own session, no stdio, the environment (and so the mark) inherited. */
async function leaveChild() {
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
}

/** `NAME "text"`. @param {string} source */
function parseTold(source) {
  const [, agent = '', quoted = ''] = /^(\S+)\s+(.*)$/s.exec(source) ?? [];
  const text = parseString(quoted);
  return agent === '' || text === null ? null : { agent, text };
}

/** Invariant 8. A frame's id has characters and a length that an id of a message may not have. @param {Turn} turn @param {number} line */
function messageId({ id }, line) {
  const { createHash } = process.getBuiltinModule('node:crypto');
  return `step-${createHash('sha256').update(`${id} ${line}`).digest('hex').slice(0, 32)}`;
}

/** @param {string} source */
function parseString(source) {
  if (!source.startsWith('"')) return null;
  try {
    return String(JSON.parse(source));
  } catch {
    return null;
  }
}

// ---------------------------------------------------------------------------------------------- in

/** @param {string} line */
function receive(line) {
  if (line.trim() === '') return;
  const frame = parseFrame(line);
  switch (frame?.type) {
    case 'turn':
      waiting.push({
        id: frame.id,
        prompt: frame.prompt,
        history: frame.history ?? null,
        cancelled: false,
      });
      void work();
      return;
    case 'steer':
      if (running?.id === frame.turn) running.offer({ id: frame.id, content: frame.content });
      return;
    case 'cancel': {
      if (ignoresCancel) return;
      if (running !== null && (frame.id === undefined || frame.id === running.id)) running.cancel();
      const queued = waiting.find(({ id }) => id === frame.id);
      if (queued !== undefined) queued.cancelled = true;
      return;
    }
    case 'answer':
      if (running?.asking?.id === frame.approvalId)
        running.asking.resolve({ decision: frame.decision, message: frame.message ?? null });
      return;
    case undefined:
      say({ type: 'notice', code: 'bad_frame', text: `not a frame: ${line.slice(0, 200)}` });
  }
}

/** @param {string} line @returns {FrameToProgram | null} */
function parseFrame(line) {
  /** @type {unknown} */
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('type' in value)) return null;
  const frame = /** @type {Record<string, unknown>} */ (value);
  const { type, id, prompt, history, turn, content, approvalId, decision, message } = frame;
  if (type === 'turn' && typeof id === 'string' && typeof prompt === 'string')
    return { type, id, prompt, ...(typeof history === 'string' ? { history } : {}) };
  if (
    type === 'steer' &&
    typeof turn === 'string' &&
    typeof id === 'string' &&
    typeof content === 'string'
  )
    return { type, turn, id, content };
  if (type === 'cancel') return { type, ...(typeof id === 'string' ? { id } : {}) };
  if (
    type === 'answer' &&
    typeof approvalId === 'string' &&
    (decision === 'allow' || decision === 'deny')
  )
    return { type, approvalId, decision, message: typeof message === 'string' ? message : null };
  return null;
}

/** Runs what waits, one turn after another (invariant 3). */
async function work() {
  if (working) return;
  working = true;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await runTurn(next);
  working = false;
  if (stdinEnded) process.exit(0);
}

/** Bytes of a frame that has not ended. @type {Buffer[]} */
let parts = [];

/** @param {Buffer} chunk */
function feed(chunk) {
  let start = 0;
  for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
    const tail = chunk.subarray(start, end);
    const line = parts.length === 0 ? tail.toString() : Buffer.concat([...parts, tail]).toString();
    parts = [];
    start = end + 1;
    receive(line);
  }
  if (start < chunk.length) parts.push(Buffer.from(chunk.subarray(start)));
}

function endOfInput() {
  stdinEnded = true;
  // a last frame without its newline, as `printf` leaves it
  if (parts.length > 0) feed(Buffer.from('\n'));
  if (running?.asking) running.wake?.();
  void work();
}

/**
 * The first frame is read by a blocking read: nothing else can happen before it, and the stream modules that
 * listening needs (5 ms) are loaded when its first output is out. Answers whether there is more to come.
 */
function readFirst() {
  const buffer = Buffer.allocUnsafe(64 * 1024);
  for (;;) {
    let size;
    try {
      size = readSync(0, buffer);
    } catch {
      // a stdin that does not block, and is empty: wait for it below
      return true;
    }
    if (size === 0) return false;
    feed(buffer.subarray(0, size));
    if (working) return true;
  }
}

if (readFirst()) {
  process.stdin.on('data', feed);
  process.stdin.on('end', endOfInput);
  process.stdin.on('error', endOfInput);
} else {
  endOfInput();
}
