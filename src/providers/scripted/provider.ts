/** The scripted provider as the engine sees it: always there, started like any CLI. Source: protocol.md section 8. */
import { fileURLToPath } from 'node:url';

import type { Provider } from '../../contracts/provider-events.ts';
import { ScriptedDriver } from './driver.ts';

const PROGRAM = fileURLToPath(new URL('./program.mjs', import.meta.url));

/** Counts changes of what program.mjs does, for `GET /v1/providers`. */
const VERSION = '1.3.0';

export const scriptedProvider: Provider = {
  providerId: 'scripted',
  capabilities: {
    warmSessions: true,
    approvals: true,
    protocolCancel: true,
    resume: true,
    steer: true,
  },
  environmentNames: [],
  lookup: async () => ({
    found: true,
    // the Node that runs us, not the first one on PATH: an older one may stand there
    program: process.execPath,
    version: VERSION,
    problem: null,
  }),
  command: (program, { model, resumeSessionId, newSessionId, mcpConfigPath }) => ({
    program,
    args: [
      PROGRAM,
      ...(resumeSessionId === null
        ? ['--session-id', newSessionId]
        : ['--resume', resumeSessionId]),
      ...(model === null ? [] : ['--model', model]),
      ...(mcpConfigPath === undefined ? [] : ['--mcp-config', mcpConfigPath]),
    ],
    environment: {},
  }),
  createDriver: () => new ScriptedDriver(),
};
