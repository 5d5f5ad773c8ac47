// expects: law(imports)
import Fastify from 'fastify';

export const planted = Fastify;
