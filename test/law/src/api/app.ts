import websocket from '@fastify/websocket';
import { Client } from '@temporalio/client';
import Fastify from 'fastify';
import { Type } from 'typebox';
import type { WebSocket } from 'ws';

import { eventShape } from '../contracts/events.ts';
import type { Store } from '../store/port.ts';
import { send } from '../workflows/definitions.ts';

export type Session = { socket: WebSocket; store: Store };
export const parts: unknown[] = [websocket, Client, Fastify, Type, eventShape, send];
