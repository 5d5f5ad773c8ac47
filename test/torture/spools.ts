/** Keeps what providers wrote, after the engine has removed its spools: by hard links, made as soon as a spool is seen. */
import { linkSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';

import type { SpoolTurn } from './evidence.ts';

const LOOK_EVERY_MS = 100;

export class SpoolKeeper {
  readonly #spools: string;
  readonly #kept: string;
  readonly #seen = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(parts: { spools: string; keptIn: string }) {
    this.#spools = parts.spools;
    this.#kept = parts.keptIn;
    mkdirSync(this.#kept, { recursive: true });
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#look();
  }

  #look(): void {
    let names: string[];
    try {
      names = readdirSync(this.#spools);
    } catch {
      return;
    }
    for (const name of names)
      for (const file of ['spec.json', 'in.jsonl', 'out.jsonl']) {
        try {
          // A spool that never began is made once more under its name: told apart by the inode.
          const source = join(this.#spools, name, file);
          const kept = `${name}--${file}--${statSync(source).ino}`;
          if (this.#seen.has(kept)) continue;
          linkSync(source, join(this.#kept, kept));
          this.#seen.add(kept);
        } catch {
          // Not there yet, or no more.
        }
      }
  }

  /** What each kept spool holds, by attempt. */
  turns(): SpoolTurn[] {
    const files = readdirSync(this.#kept);
    const read = (spool: string, file: string): string[] =>
      files
        .filter((name) => name.startsWith(`${spool}--${file}--`))
        .flatMap((name) => readFileSync(join(this.#kept, name), 'utf8').split('\n'));
    const spools = new Set(files.map((name) => name.split('--')[0] ?? ''));
    return [...spools].flatMap((spool) => {
      const spec = read(spool, 'spec.json').find((line) => line !== '');
      if (spec === undefined) return [];
      const { conversationId } = JSON.parse(spec) as { conversationId: string };
      return readSpool({
        spool,
        conversationId,
        calls: read(spool, 'in.jsonl'),
        output: read(spool, 'out.jsonl'),
      });
    });
  }

  lastWrites(): { spool: string; atMs: number }[] {
    return readdirSync(this.#kept)
      .filter((name) => name.includes('--out.jsonl--'))
      .map((name) => ({
        spool: name.split('--')[0] ?? '',
        atMs: Math.floor(statSync(join(this.#kept, name)).mtimeMs),
      }));
  }
}

type RecordedBegin = {
  upSeconds?: number;
  call?: { type: string; attemptKey: string; history?: string };
};

/** The attempts of one spool, read from the provider's own lines. */
export function readSpool(parts: {
  spool: string;
  conversationId: string;
  calls: readonly string[];
  output: readonly string[];
}): SpoolTurn[] {
  const { spool, conversationId } = parts;
  const turns = new Map<
    string,
    SpoolTurn & { blocks: Map<string, { kind: string; text: string }> }
  >();
  const turnOf = (attemptKey: string) => {
    const known = turns.get(attemptKey);
    if (known !== undefined) return known;
    const turn = {
      spool,
      conversationId,
      attemptKey,
      begins: 0,
      begunAtMs: null,
      sessions: 0,
      text: '',
      reasoning: '',
      end: null,
      sessionId: null,
      history: null,
      blocks: new Map<string, { kind: string; text: string }>(),
    };
    turns.set(attemptKey, turn);
    return turn;
  };
  const bootedAtMs = Date.now() - uptime() * 1_000;
  for (const line of parts.calls) {
    const entry = parse(line) as RecordedBegin | null;
    if (entry?.call?.type !== 'begin') continue;
    const turn = turnOf(entry.call.attemptKey);
    turn.begins += 1;
    turn.history = entry.call.history ?? null;
    if (entry.upSeconds !== undefined)
      turn.begunAtMs ??= Math.round(bootedAtMs + entry.upSeconds * 1_000);
  }
  let current: ReturnType<typeof turnOf> | null = null;
  for (const line of parts.output) {
    const said = parse(line) as Record<string, string> | null;
    if (said === null) continue;
    const { type = '', turn = '', block = '', text = '', outcome = '', sessionId } = said;
    if (type === 'session') {
      current = turnOf(turn);
      current.sessions += 1;
      current.sessionId = sessionId ?? null;
    } else if (type === 'end') {
      turnOf(turn).end = outcome;
      current = null;
    } else if (type === 'delta' || type === 'think') {
      const kind = type === 'delta' ? 'text' : 'reasoning';
      const open = current?.blocks.get(block) ?? { kind, text: '' };
      open.text += text;
      current?.blocks.set(block, open);
    } else if (type === 'retry') current?.blocks.delete(block);
  }
  return [...turns.values()].map(({ blocks, ...turn }) => ({
    ...turn,
    text: joined(blocks, 'text'),
    reasoning: joined(blocks, 'reasoning'),
  }));
}

function joined(blocks: ReadonlyMap<string, { kind: string; text: string }>, kind: string): string {
  return [...blocks.values()]
    .filter((block) => block.kind === kind)
    .map((block) => block.text)
    .join('');
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Garbage is a step of the scripts; a last line may be torn by a kill.
    return null;
  }
}
