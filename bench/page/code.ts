/** How much code the page is: what it needs to begin, and what comes when it is needed. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import type { Figure } from '../figures.ts';

const build = fileURLToPath(new URL('../../dist/web', import.meta.url));
const INITIAL_KB = 180;
const LATER_KB = 40;

export function measureCode(): Figure[] {
  const { initial, later } = filesOfBuild();
  const initialKb = kilobytes(initial);
  const highlighter = later.filter((name) => name.startsWith('highlight'));
  const others = later.filter((name) => !highlighter.includes(name));
  const laterKb = kilobytes(highlighter);
  return [
    {
      name: 'page: code and styles before anything is shown, gzip',
      unit: 'KB',
      product: initialKb,
      floor: null,
      goal: `≤ ${INITIAL_KB} KB`,
      met: initialKb <= INITIAL_KB,
      note: inWords(initial),
    },
    {
      name: 'page: the highlighter, loaded when it is needed, gzip',
      unit: 'KB',
      product: laterKb,
      floor: null,
      goal: `≤ ${LATER_KB} KB`,
      met: highlighter.length > 0 && laterKb <= LATER_KB,
      note: `${inWords(highlighter)}; else loaded when needed: ${inWords(others) || 'nothing'}`,
    },
  ];
}

/** Bytes of its initial code, uncompressed. */
export function initialCodeBytes(): number {
  return filesOfBuild().initial.reduce((sum, name) => sum + read(name).length, 0);
}

/** `initial`: what the document names, and what that imports before it runs. */
function filesOfBuild(): { initial: string[]; later: string[] } {
  const all = readdirSync(`${build}/assets`).filter((name) => /\.(js|css)$/.test(name));
  const named = [
    ...read('../index.html')
      .toString('utf8')
      .matchAll(/\/assets\/([^"']+\.(?:js|css))/g),
  ];
  const initial = new Set(named.flatMap(([, name]) => name ?? []));
  for (const name of initial) {
    if (!name.endsWith('.js')) continue;
    const imports = read(name)
      .toString('utf8')
      .matchAll(/(?:^|[;}\n])(?:import|export)[^;"'()]*["']\.\/([^"']+\.js)["']/g);
    for (const [, imported] of imports) if (imported !== undefined) initial.add(imported);
  }
  return { initial: [...initial], later: all.filter((name) => !initial.has(name)) };
}

function read(name: string): Buffer {
  return readFileSync(`${build}/assets/${name}`);
}

function kilobytes(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + gzipSync(read(name), { level: 9 }).length, 0) / 1024;
}

function inWords(names: readonly string[]): string {
  return names.map((name) => `${name} ${kilobytes([name]).toFixed(1)}`).join(' · ');
}
