// expects: import(extensions)
import { home } from './config.js';

export const planted = home;
