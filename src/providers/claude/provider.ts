/** Claude Code, the installed CLI, driven by its stream-json protocol. Source: provider-facts.md section 2.1. */
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

import { MCP_SERVER, MCP_TOOLS } from '../../contracts/names.ts';
import type { Provider, ProviderLookup } from '../../contracts/provider-events.ts';
import { allowedEnvironment } from '../process/environment.ts';
import { ClaudeDriver } from './driver.ts';

const PROGRAM = 'claude';
/** It takes 0.1 s; a first start of the 364 MB program from a cold disk took seconds. */
const VERSION_TIMEOUT_MS = 5_000;
/** How long a program without a version is believed to have none: the answer may have been a busy machine's fault. */
const DOUBTFUL_MS = 10_000;
/** Enough for any version, and for what a wrapper says before it. */
const VERSION_OUTPUT_CHARS = 64 * 1024;
/** Both directions as JSON lines, deltas included; approvals are asked for on stdout and answered on stdin. */
const ARGUMENTS = [
  '-p',
  '--output-format',
  'stream-json',
  '--verbose',
  '--include-partial-messages',
  '--input-format',
  'stream-json',
  '--permission-prompt-tool',
  'stdio',
];

/**
 * What Claude Code reads and a user sets on purpose, named one by one: a `CLAUDE*` would also hand on what a Claude
 * Code sets for its own children (CLAUDECODE, CLAUDE_CODE_CHILD_SESSION, CLAUDE_CODE_SESSION_ID, CLAUDE_PID …), and an
 * engine started from inside one would start sessions that take themselves for its children.
 */
const ENVIRONMENT_NAMES = [
  'ANTHROPIC_*',
  'API_TIMEOUT_MS',
  'AWS_*',
  'AZURE_*',
  'BASH_DEFAULT_TIMEOUT_MS',
  'BASH_MAX_OUTPUT_LENGTH',
  'BASH_MAX_TIMEOUT_MS',
  'CLAUDE_CODE_API_KEY_HELPER_TTL_MS',
  'CLAUDE_CODE_CLIENT_CERT',
  'CLAUDE_CODE_CLIENT_KEY',
  'CLAUDE_CODE_CLIENT_KEY_PASSPHRASE',
  'CLAUDE_CODE_DISABLE_*',
  'CLAUDE_CODE_EFFORT_LEVEL',
  'CLAUDE_CODE_MAX_OUTPUT_TOKENS',
  'CLAUDE_CODE_MAX_RETRIES',
  'CLAUDE_CODE_OAUTH_TOKEN',
  'CLAUDE_CODE_SHELL',
  'CLAUDE_CODE_SHELL_PREFIX',
  'CLAUDE_CODE_SKIP_*',
  'CLAUDE_CODE_SUBAGENT_MODEL',
  'CLAUDE_CODE_TMPDIR',
  'CLAUDE_CODE_USE_*',
  'CLAUDE_CONFIG_DIR',
  'CLOUD_ML_REGION',
  'DISABLE_*',
  'GOOGLE_*',
  'IS_SANDBOX',
  'MAX_MCP_OUTPUT_TOKENS',
  'MAX_THINKING_TOKENS',
  'MCP_TIMEOUT',
  'MCP_TOOL_TIMEOUT',
  'VERTEX_*',
];

/** The team's tools, as Claude Code calls those of an MCP server. Nobody is asked before they are used: what they do stays in the team. */
const TEAM_TOOLS = MCP_TOOLS.map((tool) => `mcp__${MCP_SERVER}__${tool}`).join(',');

/** `versionTimeoutMs`: how long the program may take to name its version. */
export function createClaudeProvider({
  versionTimeoutMs = VERSION_TIMEOUT_MS,
}: { versionTimeoutMs?: number } = {}): Provider {
  const versions = new VersionCache(versionTimeoutMs);
  return {
    providerId: 'claude',
    capabilities: {
      warmSessions: true,
      approvals: true,
      protocolCancel: true,
      resume: true,
      steer: true,
    },
    environmentNames: ENVIRONMENT_NAMES,
    lookup: async (environment) => {
      const found = await findOnPath(PROGRAM, environment['PATH'] ?? '');
      if (found === null)
        return {
          found: false,
          problem:
            'There is no program `claude` on PATH; `npm install -g @anthropic-ai/claude-code` installs it.',
        };
      return await versions.lookup({ ...found, environment });
    },
    command: (program, { model, resumeSessionId, newSessionId, mcpConfigPath }) => ({
      program,
      args: [
        ...ARGUMENTS,
        ...(resumeSessionId === null
          ? ['--session-id', newSessionId]
          : ['--resume', resumeSessionId]),
        // one word, so that no model's name can be read as another option
        ...(model === null ? [] : [`--model=${model}`]),
        // both take several values: as one word each, so that nothing after them is taken for one
        ...(mcpConfigPath === undefined
          ? []
          : [`--mcp-config=${mcpConfigPath}`, `--allowedTools=${TEAM_TOOLS}`]),
      ],
      // nothing replaces the program under a running session
      environment: { DISABLE_AUTOUPDATER: '1' },
    }),
    createDriver: (spec) => new ClaudeDriver(spec),
  };
}

type Environment = Readonly<Record<string, string | undefined>>;
type FoundProgram = {
  program: string;
  /** Changes when another file takes its place. */
  identity: string;
};

type KnownVersion = {
  identity: string;
  answer: Promise<ProviderLookup>;
  /** When the answer came that something is wrong; null: nothing is, or it has not come. */
  doubtfulSince: number | null;
};

/** Asks the program for its version once, as long as its file is the same; lookups at the same time share the answer. */
class VersionCache {
  readonly #timeoutMs: number;
  #known: KnownVersion | null = null;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  async lookup({
    program,
    identity,
    environment,
  }: FoundProgram & { environment: Environment }): Promise<ProviderLookup> {
    const { doubtfulSince = null } = this.#known ?? {};
    const stale = doubtfulSince !== null && performance.now() - doubtfulSince > DOUBTFUL_MS;
    if (this.#known?.identity === identity && !stale) return await this.#known.answer;
    const answer = askVersion({ program, environment, timeoutMs: this.#timeoutMs });
    const known: KnownVersion = { identity, answer, doubtfulSince: null };
    this.#known = known;
    const lookup = await answer;
    if (lookup.problem !== null) known.doubtfulSince = performance.now();
    return lookup;
  }
}

async function askVersion({
  program,
  environment,
  timeoutMs,
}: {
  program: string;
  environment: Environment;
  timeoutMs: number;
}): Promise<ProviderLookup> {
  return await new Promise((resolve) => {
    const unusable = (why: string): void =>
      resolve({ found: false, problem: `${program} cannot be used: ${why}` });
    const child = spawn(program, ['--version'], {
      env: allowedEnvironment({ environment, names: ENVIRONMENT_NAMES }),
      stdio: ['ignore', 'pipe', 'ignore'],
      // a group of its own: a wrapper's child is ended with it
      detached: true,
    });
    let output = '';
    const timer = setTimeout(() => {
      const problem = `${program} --version gave no answer within ${timeoutMs} ms.`;
      resolve({ found: true, program, version: null, problem });
      child.stdout.destroy();
      if (child.pid !== undefined) killGroup(child.pid);
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < VERSION_OUTPUT_CHARS) output += text;
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      unusable(error.message);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const version = /\d+\.\d+\.\d+[\w.+-]*/.exec(output)?.[0];
      if (code !== 0) unusable(`--version ended with ${signal ?? code}`);
      else if (version === undefined) unusable('--version names none');
      else resolve({ found: true, program, version, problem: null });
    });
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it has just ended by itself
  }
}

/** The first executable file of that name on `path`; relative entries mean nothing to an engine and are left out. */
async function findOnPath(name: string, path: string): Promise<FoundProgram | null> {
  for (const folder of path.split(delimiter)) {
    if (!isAbsolute(folder)) continue;
    const program = join(folder, name);
    try {
      await access(program, constants.X_OK);
      const file = await stat(program);
      if (!file.isFile()) continue;
      return { program, identity: `${program} ${file.ino} ${file.size} ${file.mtimeMs}` };
    } catch {
      // not there, or not ours to run
    }
  }
  return null;
}
