// expects: law(environment)
import { env } from 'node:process';

export const planted = env;
