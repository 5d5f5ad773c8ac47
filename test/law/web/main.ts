import { layout } from './app/place.ts';
import { createClient } from './client/client.ts';

export const parts: unknown[] = [layout, createClient];
