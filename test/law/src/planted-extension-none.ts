// expects: import(extensions)
import { home } from './config';

export const planted: unknown = home;
