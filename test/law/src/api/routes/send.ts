import { createHash } from 'node:crypto';

import type { FastifyInstance } from 'fastify';

import { idPattern } from '../../contracts/ids.ts';
import { isTurn } from '../../domain/turn.ts';
import { fold } from '../../store/port.ts';
import { send } from '../../workflows/definitions.ts';
import { parts } from '../app.ts';

export const routes = (app: FastifyInstance): unknown[] => [
  app,
  parts,
  send,
  fold,
  isTurn,
  createHash(idPattern),
];
