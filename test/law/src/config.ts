export const home = process.env['HOME'];
export const { env } = process;
