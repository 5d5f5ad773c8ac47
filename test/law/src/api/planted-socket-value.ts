// expects: law(imports)
import { WebSocket } from 'ws';

export const planted = WebSocket;
